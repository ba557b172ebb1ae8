-- Let nobody else announce the same meanwhile.
SELECT pg_advisory_xact_lock(hashtextextended(%(identity)s, 0));
