-- Remember that a stage of a call is stored.
INSERT INTO call_stages (call_id, stage, run_id, engine, catalog_version, took_s, stored_at)
VALUES (%(call_id)s, %(stage)s, %(run_id)s, %(engine)s, %(catalog_version)s, %(took_s)s,
        clock_timestamp())
ON CONFLICT (call_id, stage) DO UPDATE SET
    run_id = excluded.run_id, engine = excluded.engine, took_s = excluded.took_s,
    catalog_version = excluded.catalog_version, stored_at = excluded.stored_at;
