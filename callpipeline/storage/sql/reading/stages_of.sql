-- The stages of a call that are stored: when, by which engine, in how many seconds of work.
SELECT s.stage, s.stored_at, t.engine, t.took_s, t.catalog_version, t.run_id
FROM stored_stages s JOIN call_stages t USING (call_id, stage)
WHERE s.call_id = %(call_id)s ORDER BY s.stored_at;
