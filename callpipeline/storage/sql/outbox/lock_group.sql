-- Let nobody else decide meanwhile whether something that is wrong is to be told.
SELECT pg_advisory_xact_lock(7216003, hashtext(%(group_key)s));
