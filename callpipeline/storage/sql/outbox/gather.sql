-- Make messages of events that wait: the first of an incident at once, and what is graver than all
-- before; more of them when the last message is a window old and was delivered. In quiet hours only
-- of what is grave enough. After people heard that it was over, it begins anew.
WITH said AS (
    SELECT n.incident_id, n.channel, max(n.created_at) AS last_at,
           bool_or(n.state = 'PENDING') AS is_under_way,
           (array_agg(n.part ORDER BY n.number DESC))[1] AS last_part,
           (SELECT max(array_position(ARRAY['info', 'warning', 'error', 'critical'], o.severity))
            FROM notification_events e JOIN outbox o USING (event_id)
            WHERE o.incident_id = n.incident_id AND e.channel = n.channel) AS rank
    FROM notifications n
    WHERE n.incident_id IN (SELECT incident_id FROM outbox WHERE untold <> '{}')
    GROUP BY n.incident_id, n.channel
), waiting AS (
    SELECT o.incident_id, u.channel,
           max(array_position(ARRAY['info', 'warning', 'error', 'critical'], o.severity)) AS rank
    FROM outbox o CROSS JOIN LATERAL unnest(o.untold) AS u (channel)
    WHERE o.untold <> '{}' AND o.incident_id IS NOT NULL
    GROUP BY o.incident_id, u.channel
), made AS (
    INSERT INTO notifications (incident_id, channel, part, created_at, not_before)
    SELECT w.incident_id, w.channel,
           CASE WHEN said.last_at IS NULL OR said.last_part = 'recovery' THEN 'opening'
                ELSE 'update' END, %(now)s, %(now)s
    FROM waiting w LEFT JOIN said USING (incident_id, channel)
    WHERE w.rank >= %(least_rank)s
      AND (said.last_at IS NULL OR w.rank > said.rank
           OR NOT said.is_under_way
              AND said.last_at <= %(now)s::timestamptz - %(window_s)s * interval '1 second')
    RETURNING notification_id, incident_id, channel
), told AS (
    INSERT INTO notification_events (event_id, channel, notification_id)
    SELECT o.event_id, made.channel, made.notification_id
    FROM outbox o JOIN made USING (incident_id) WHERE made.channel = ANY(o.untold)
)
UPDATE outbox o SET untold = ARRAY(
    SELECT u.channel FROM unnest(o.untold) AS u (channel)
    WHERE u.channel NOT IN (SELECT channel FROM made WHERE made.incident_id = o.incident_id))
WHERE o.incident_id IN (SELECT incident_id FROM made) AND o.untold <> '{}';
