-- Close incidents that are over, and tell whoever was told of them. Over is what was seen to be
-- well, an engine whose stage was stored since, and failures of calls of which a window has seen
-- no more while their stage was stored for others.
WITH past AS (
    SELECT i.incident_id FROM incidents i
    WHERE i.closed_at IS NULL AND i.recovers
      AND (i.cleared_at IS NOT NULL
           OR (i.kind = 'engine_down'
               OR i.kind = 'call_failed'
                  AND i.last_event_at <= %(now)s::timestamptz - %(window_s)s * interval '1 second')
              AND EXISTS (SELECT FROM call_stages s
                          WHERE s.stage = i.stage AND s.stored_at > i.last_event_at))
      AND NOT EXISTS (SELECT FROM outbox o
                      WHERE o.group_key = i.group_key AND o.incident_id IS NULL)
      -- What comes and goes is not told each time.
      AND NOT EXISTS (SELECT FROM notifications n
                      WHERE n.incident_id = i.incident_id AND n.part = 'recovery'
                        AND n.created_at > %(now)s::timestamptz - %(window_s)s * interval '1 second')
    FOR UPDATE
), closed AS (
    UPDATE incidents i SET closed_at = %(now)s, cleared_at = coalesce(cleared_at, %(now)s)
    FROM past WHERE i.incident_id = past.incident_id
    RETURNING i.incident_id
), made AS (
    INSERT INTO notifications (incident_id, channel, part, created_at, not_before)
    SELECT n.incident_id, n.channel, 'recovery', %(now)s::timestamptz,
           -- Who was woken hears that it is over.
           CASE WHEN EXISTS (SELECT FROM outbox o
                             WHERE o.incident_id = n.incident_id AND o.severity = 'critical')
                THEN %(now)s::timestamptz ELSE %(not_before)s::timestamptz END
    FROM (SELECT DISTINCT incident_id, channel FROM notifications
          WHERE channel = ANY(%(configured)s::text[])) AS n JOIN closed USING (incident_id)
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
