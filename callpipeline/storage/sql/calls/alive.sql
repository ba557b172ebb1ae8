-- A run gives a sign of life.
UPDATE runs SET alive_at = now() WHERE run_id = %(run_id)s RETURNING run_id;
