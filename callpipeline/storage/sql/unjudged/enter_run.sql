-- A run that will ask for judgements is watched: without signs of life it is taken to be dead.
INSERT INTO runs (run_id) VALUES (%(run_id)s)
ON CONFLICT (run_id) DO UPDATE SET alive_at = now();
