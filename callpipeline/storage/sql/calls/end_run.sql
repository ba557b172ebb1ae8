-- A run that has ended in order is not watched any more.
DELETE FROM runs WHERE run_id = %(run_id)s;
