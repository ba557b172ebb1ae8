-- Cut the connections of runs that are gone: one that was stopped in the middle of a write would
-- keep its lock on the call, and whoever takes the call back would wait for it.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user
  AND application_name = ANY(%(names)s) AND pid <> pg_backend_pid();
