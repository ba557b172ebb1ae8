-- Delete events, by call or by id; what receivers answered to them may quote them.
WITH gone AS (
    SELECT event_id FROM outbox
    WHERE call_id = ANY(%(call_ids)s) OR event_id = ANY(%(event_ids)s::uuid[])
), blanked AS (
    UPDATE deliveries d SET answer = ''
    WHERE notification_id IN (SELECT notification_id FROM notification_events
                              WHERE event_id IN (SELECT event_id FROM gone))
)
DELETE FROM outbox WHERE event_id IN (SELECT event_id FROM gone);
