-- Enter an event; what has the same subject as one that was entered before is left out.
INSERT INTO outbox (event_id, kind, severity, group_key, subject, recovers, title, message, call_id,
                    run_id, stage, error_class, error_message, metadata, channels, occurred_at)
VALUES (%(event_id)s::uuid, %(kind)s, %(severity)s,
        coalesce(%(group_key)s, %(kind)s || ':' || %(event_id)s),
        %(subject)s, %(recovers)s, %(title)s, %(message)s, %(call_id)s, %(run_id)s, %(stage)s,
        %(error_class)s, %(error_message)s, %(metadata)s, %(channels)s::text[],
        coalesce(%(at)s::timestamptz, now()))
ON CONFLICT DO NOTHING
RETURNING event_id::text;
