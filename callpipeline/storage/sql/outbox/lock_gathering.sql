-- One process at a time puts events into messages.
SELECT pg_advisory_xact_lock(7216004);
