-- Forget from where the recordings of calls were to be fetched.
DELETE FROM announced WHERE call_id = ANY(%(call_ids)s);
