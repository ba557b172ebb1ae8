-- Delete incidents; their messages are gone.
DELETE FROM incidents WHERE incident_id = ANY(%(incidents)s) RETURNING incident_id;
