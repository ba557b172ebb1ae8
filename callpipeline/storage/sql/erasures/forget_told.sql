-- Delete what people were to be told of calls, also where others wrote of them; what receivers
-- answered to it may quote it.
WITH gone AS (
    SELECT event_id FROM outbox o
    WHERE call_id = ANY(%(call_ids)s)
       OR o.metadata ->> 'job_filename' = ANY(%(names)s)
       OR concat_ws(' ', o.title, o.message, o.error_message, o.group_key, o.subject,
                    o.metadata::text) ~ ANY(%(patterns)s::text[])
), blanked AS (
    UPDATE deliveries d SET answer = ''
    WHERE notification_id IN (SELECT notification_id FROM notification_events
                              WHERE event_id IN (SELECT event_id FROM gone))
)
DELETE FROM outbox WHERE event_id IN (SELECT event_id FROM gone);
