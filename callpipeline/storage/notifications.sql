-- name: alert_rules
-- List the rules of alerts of known kinds, oldest first.
SELECT rule_id, kind, competitor, threshold, days, min_calls, channels, has_quotes, is_enabled,
       made_by, made_at
FROM alert_rules WHERE kind = ANY(%(kinds)s::text[]) ORDER BY rule_id;

-- name: alert_rules_due
-- Take the rules that were not checked for a while, so that only one process checks them. Those of
-- kinds that only a newer version knows are left to it.
UPDATE alert_rules SET checked_at = %(now)s
WHERE is_enabled AND kind = ANY(%(kinds)s::text[])
  AND (checked_at IS NULL
       OR checked_at <= %(now)s::timestamptz - %(every_s)s * interval '1 second')
RETURNING rule_id, kind, competitor, threshold, days, min_calls, channels, has_quotes, is_enabled,
          made_by, made_at;

-- name: delete_alert_rule
-- Delete a rule.
DELETE FROM alert_rules WHERE rule_id = %(rule_id)s RETURNING rule_id;

-- name: insert_alert_rule
-- Insert a rule.
INSERT INTO alert_rules (kind, competitor, threshold, days, min_calls, channels, has_quotes,
                         is_enabled, made_by)
VALUES (%(kind)s, %(competitor)s, %(threshold)s, %(days)s, %(min_calls)s, %(channels)s::text[],
        %(has_quotes)s, %(is_enabled)s, %(made_by)s)
RETURNING rule_id;

-- name: update_alert_rule
-- Change a rule that is still what its form showed; it is checked again at once.
UPDATE alert_rules SET kind = %(kind)s, competitor = %(competitor)s, threshold = %(threshold)s,
    days = %(days)s, min_calls = %(min_calls)s, channels = %(channels)s::text[],
    has_quotes = %(has_quotes)s, is_enabled = %(is_enabled)s, made_by = %(made_by)s,
    made_at = clock_timestamp(), checked_at = NULL
WHERE rule_id = %(rule_id)s
  AND (%(seen_at)s::timestamptz IS NULL OR made_at = %(seen_at)s::timestamptz)
RETURNING rule_id;

-- name: quotes
-- List the words of mentions that still count, of completed calls: while a call is processed again,
-- its quotes may be older than what was masked.
SELECT coalesce(nullif(s.switching_quote, ''), nullif(s.quote, '')) AS quote
FROM unnest(%(calls)s::text[], %(mentions)s::text[]) WITH ORDINALITY
         AS wanted (call_id, mention_id, position)
JOIN mentions m USING (call_id, mention_id) JOIN calls c USING (call_id)
JOIN sentiment s USING (call_id, mention_id)
WHERE m.status = 'counted' AND c.state = 'COMPLETED'
  AND coalesce(nullif(s.switching_quote, ''), nullif(s.quote, '')) IS NOT NULL
ORDER BY position LIMIT %(limit)s;

-- name: assign_incidents
-- Assign new events to the incident of their group that is open or was closed less than a window
-- ago, or else to a new one, and set the channels that are to be notified. Events of a kind without
-- a rule are of a newer version, which assigns them.
WITH new_events AS MATERIALIZED (
    SELECT event_id, group_key, kind, stage, recovers, occurred_at FROM outbox
    WHERE incident_id IS NULL AND %(rules)s::jsonb ? kind ORDER BY occurred_at LIMIT %(limit)s
), groups AS (
    SELECT group_key, min(kind) AS kind, min(stage) AS stage, bool_or(recovers) AS recovers,
           min(occurred_at) AS first_at, max(occurred_at) AS last_at
    FROM new_events GROUP BY group_key
), recent_incidents AS (
    SELECT DISTINCT ON (i.group_key) i.incident_id, i.group_key, groups.last_at
    FROM incidents i JOIN groups USING (group_key)
    WHERE i.closed_at IS NULL
       OR i.closed_at > %(now)s::timestamptz - %(window_s)s * interval '1 second'
    ORDER BY i.group_key, i.closed_at IS NULL DESC, i.opened_at DESC
), continued AS (
    UPDATE incidents i SET last_event_at = greatest(i.last_event_at, recent_incidents.last_at),
        cleared_at = NULL, closed_at = NULL
    FROM recent_incidents WHERE i.incident_id = recent_incidents.incident_id
    RETURNING i.incident_id, i.group_key
), opened AS (
    INSERT INTO incidents (group_key, kind, stage, recovers, opened_at, last_event_at)
    SELECT group_key, kind, stage, recovers, first_at, last_at FROM groups
    WHERE NOT EXISTS (SELECT FROM recent_incidents WHERE recent_incidents.group_key = groups.group_key)
    RETURNING incident_id, group_key
), targets AS (
    SELECT * FROM continued UNION ALL SELECT * FROM opened
)
UPDATE outbox o SET incident_id = targets.incident_id, pending_channels = ARRAY(
    SELECT wanted.channel
    FROM unnest(coalesce(o.channels, ARRAY(SELECT jsonb_array_elements_text(
                                               %(rules)s::jsonb -> o.kind)))) AS wanted (channel)
    WHERE wanted.channel = ANY(%(configured)s::text[])
       OR wanted.channel <> ALL(%(known_channels)s::text[])
    ORDER BY 1)
FROM new_events JOIN targets USING (group_key)
WHERE o.event_id = new_events.event_id
RETURNING o.event_id;

-- name: backlog
-- Count what is not delivered yet: events without an incident, and messages by channel with the
-- age of the oldest in seconds and the most attempts of one.
SELECT NULL AS channel, count(*) AS waiting, 0 AS given_up, 0 AS tries,
       extract(epoch FROM now() - min(occurred_at))::float AS oldest_s
FROM outbox WHERE incident_id IS NULL AND channels IS DISTINCT FROM '{}'
UNION ALL
SELECT channel, count(*) FILTER (WHERE is_due),
       count(*) FILTER (WHERE state = 'GAVE_UP' AND created_at > now() - interval '7 days'),
       coalesce(max(attempts) FILTER (WHERE is_due), 0),
       extract(epoch FROM now() - min(created_at) FILTER (WHERE is_due))::float
FROM (SELECT *, state = 'PENDING' AND (next_attempt_at <= now() OR attempts > 0) AS is_due
      FROM notifications
      WHERE state IN ('PENDING', 'GAVE_UP') AND channel = ANY(%(known_channels)s::text[])) AS n
GROUP BY channel;

-- name: clear
-- Mark incidents as cleared: the condition is over.
UPDATE incidents SET cleared_at = %(now)s
WHERE closed_at IS NULL AND cleared_at IS NULL AND group_key = ANY(%(group_keys)s)
RETURNING group_key;

-- name: close_quiet
-- Close incidents without news and without pending messages. Those that do not recover are closed
-- after a window. A condition that is reported again while it lasts is notified again after a
-- day; an engine may need its next call to show that it works.
UPDATE incidents i SET closed_at = %(now)s
WHERE closed_at IS NULL
  AND last_event_at <= %(now)s::timestamptz
      - CASE WHEN NOT recovers THEN %(window_s)s * interval '1 second'
             WHEN stage IS NULL THEN interval '1 day' ELSE interval '30 days' END
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = i.incident_id AND o.pending_channels <> '{}')
  AND NOT EXISTS (SELECT FROM notifications n
                  WHERE n.incident_id = i.incident_id
                    AND n.created_at > %(now)s::timestamptz - %(window_s)s * interval '1 second');

-- name: close_recovered
-- Close incidents that are over, and create recovery messages for the channels that were
-- notified. Over means: cleared; an engine whose stage was stored since; or failed calls without
-- further failures for a window while the stage was stored for others.
WITH recovered AS (
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
      -- A flapping condition is not notified each time.
      AND NOT EXISTS (SELECT FROM notifications n
                      WHERE n.incident_id = i.incident_id AND n.part = 'recovery'
                        AND n.created_at > %(now)s::timestamptz - %(window_s)s * interval '1 second')
    FOR UPDATE
), closed AS (
    UPDATE incidents i SET closed_at = %(now)s, cleared_at = coalesce(cleared_at, %(now)s)
    FROM recovered WHERE i.incident_id = recovered.incident_id
    RETURNING i.incident_id
), created AS (
    INSERT INTO notifications (incident_id, channel, part, created_at, next_attempt_at)
    SELECT n.incident_id, n.channel, 'recovery', %(now)s::timestamptz,
           -- A critical incident is resolved in quiet hours too.
           CASE WHEN EXISTS (SELECT FROM outbox o
                             WHERE o.incident_id = n.incident_id AND o.severity = 'critical')
                THEN %(now)s::timestamptz ELSE %(next_attempt_at)s::timestamptz END
    FROM (SELECT DISTINCT incident_id, channel FROM notifications
          WHERE channel = ANY(%(configured)s::text[])) AS n JOIN closed USING (incident_id)
    RETURNING notification_id, incident_id, channel
), linked AS (
    INSERT INTO notification_events (event_id, channel, notification_id)
    SELECT o.event_id, created.channel, created.notification_id
    FROM outbox o JOIN created USING (incident_id) WHERE created.channel = ANY(o.pending_channels)
)
UPDATE outbox o SET pending_channels = ARRAY(
    SELECT u.channel FROM unnest(o.pending_channels) AS u (channel)
    WHERE u.channel NOT IN (SELECT channel FROM created WHERE created.incident_id = o.incident_id))
WHERE o.incident_id IN (SELECT incident_id FROM created) AND o.pending_channels <> '{}';

-- name: content
-- Select the content of a message: its incident and the totals of its events.
SELECT n.notification_id::text, n.channel, n.part, n.created_at,
       i.incident_id, i.kind, i.stage, i.recovers, i.opened_at, i.last_event_at, i.cleared_at,
       (SELECT count(*) FROM outbox o WHERE o.incident_id = i.incident_id) AS events_in_all,
       (SELECT count(*) FROM outbox o
        WHERE o.incident_id = i.incident_id AND o.call_id IS NOT NULL) AS calls_in_all,
       (SELECT count(DISTINCT o.call_id) FROM outbox o JOIN calls c USING (call_id)
        WHERE o.incident_id = i.incident_id AND c.state = 'FAILED') AS calls_still_failed,
       (SELECT f.receipt FROM notifications f
        WHERE f.incident_id = n.incident_id AND f.channel = n.channel AND f.number < n.number
          AND f.receipt IS NOT NULL ORDER BY f.number LIMIT 1) AS first_receipt,
       (SELECT f.notification_id::text FROM notifications f
        WHERE f.incident_id = n.incident_id AND f.channel = n.channel AND f.number < n.number
        ORDER BY f.number LIMIT 1) AS first_id
FROM notifications n JOIN incidents i USING (incident_id)
WHERE n.notification_id = %(notification_id)s::uuid;

-- name: count_held
-- Count the events that wait for others of their group, or for the end of quiet hours.
SELECT count(*) AS events FROM outbox WHERE pending_channels <> '{}';

-- name: create_messages
-- Create messages for pending events. The first event of an incident is notified at once, and so
-- is one more severe than all before; further ones when the last message is a window old and
-- delivered. In quiet hours only severe events are notified. After a recovery message an incident
-- opens again.
WITH sent AS (
    SELECT n.incident_id, n.channel, max(n.created_at) AS last_at,
           bool_or(n.state = 'PENDING') AS is_under_way,
           (array_agg(n.part ORDER BY n.number DESC))[1] AS last_part,
           (SELECT max(array_position(ARRAY['info', 'warning', 'error', 'critical'], o.severity))
            FROM notification_events e JOIN outbox o USING (event_id)
            WHERE o.incident_id = n.incident_id AND e.channel = n.channel) AS rank
    FROM notifications n
    WHERE n.incident_id IN (SELECT incident_id FROM outbox WHERE pending_channels <> '{}')
    GROUP BY n.incident_id, n.channel
), waiting AS (
    SELECT o.incident_id, u.channel,
           max(array_position(ARRAY['info', 'warning', 'error', 'critical'], o.severity)) AS rank
    FROM outbox o CROSS JOIN LATERAL unnest(o.pending_channels) AS u (channel)
    WHERE o.pending_channels <> '{}' AND o.incident_id IS NOT NULL
    GROUP BY o.incident_id, u.channel
), created AS (
    INSERT INTO notifications (incident_id, channel, part, created_at, next_attempt_at)
    SELECT w.incident_id, w.channel,
           CASE WHEN sent.last_at IS NULL OR sent.last_part = 'recovery' THEN 'opening'
                ELSE 'update' END, %(now)s, %(now)s
    FROM waiting w LEFT JOIN sent USING (incident_id, channel)
    WHERE w.rank >= %(least_rank)s
      AND (sent.last_at IS NULL OR w.rank > sent.rank
           OR NOT sent.is_under_way
              AND sent.last_at <= %(now)s::timestamptz - %(window_s)s * interval '1 second')
    RETURNING notification_id, incident_id, channel
), linked AS (
    INSERT INTO notification_events (event_id, channel, notification_id)
    SELECT o.event_id, created.channel, created.notification_id
    FROM outbox o JOIN created USING (incident_id) WHERE created.channel = ANY(o.pending_channels)
)
UPDATE outbox o SET pending_channels = ARRAY(
    SELECT u.channel FROM unnest(o.pending_channels) AS u (channel)
    WHERE u.channel NOT IN (SELECT channel FROM created WHERE created.incident_id = o.incident_id))
WHERE o.incident_id IN (SELECT incident_id FROM created) AND o.pending_channels <> '{}';

-- name: drop_unconfigured
-- Drop pending channels that are no longer configured; those that are unknown are of a newer version.
UPDATE outbox SET pending_channels = ARRAY(
    SELECT u.channel FROM unnest(pending_channels) AS u (channel)
    WHERE u.channel = ANY(%(configured)s::text[])
       OR u.channel <> ALL(%(known_channels)s::text[]))
WHERE pending_channels <> '{}' AND NOT pending_channels <@ %(configured)s::text[]
  AND EXISTS (SELECT FROM unnest(pending_channels) AS u (channel)
              WHERE u.channel <> ALL(%(configured)s::text[])
                AND u.channel = ANY(%(known_channels)s::text[]));

-- name: events
-- List the events of a message, oldest first, with the recordings of their calls. A message
-- without events of its own, such as a recovery, has those of its incident.
WITH own AS (
    SELECT e.event_id FROM notification_events e
    WHERE e.notification_id = %(notification_id)s::uuid
), wanted AS (
    SELECT event_id FROM own
    UNION ALL
    SELECT o.event_id FROM outbox o JOIN notifications n USING (incident_id)
    WHERE n.notification_id = %(notification_id)s::uuid AND NOT EXISTS (SELECT FROM own)
)
SELECT o.event_id::text, o.kind, o.severity, o.title, o.message, o.call_id, c.key, o.run_id, o.stage,
       o.error_class, o.error_message, o.metadata, o.occurred_at,
       count(*) OVER () AS events, max(o.occurred_at) OVER () AS last_at,
       max(array_position(ARRAY['info', 'warning', 'error', 'critical'], o.severity)) OVER ()
           AS rank
FROM wanted JOIN outbox o USING (event_id) LEFT JOIN calls c USING (call_id)
ORDER BY o.occurred_at, o.event_id LIMIT %(limit)s;

-- name: find
-- Find messages by the prefix of their id or of the id of one of their events.
SELECT notification_id::text, notification_id::text AS found FROM notifications
WHERE starts_with(notification_id::text, %(prefix)s)
UNION
SELECT notification_id::text, event_id::text FROM notification_events
WHERE starts_with(event_id::text, %(prefix)s)
LIMIT 20;

-- name: give_up_unconfigured
-- Give up messages to channels that are no longer configured or were unsubscribed.
UPDATE notifications SET state = 'GAVE_UP'
WHERE state = 'PENDING' AND NOT channel = ANY(%(working)s::text[])
  AND channel = ANY(%(known_channels)s::text[])
  AND (leased_until IS NULL OR leased_until <= %(now)s);

-- name: insert
-- Insert an event, unless one with the same subject exists.
INSERT INTO outbox (event_id, kind, severity, group_key, subject, recovers, title, message, call_id,
                    run_id, stage, error_class, error_message, metadata, channels, occurred_at)
VALUES (%(event_id)s::uuid, %(kind)s, %(severity)s,
        coalesce(%(group_key)s, %(kind)s || ':' || %(event_id)s),
        %(subject)s, %(recovers)s, %(title)s, %(message)s, %(call_id)s, %(run_id)s, %(stage)s,
        %(error_class)s, %(error_message)s, %(metadata)s, %(channels)s::text[],
        coalesce(%(at)s::timestamptz, now()))
ON CONFLICT DO NOTHING
RETURNING event_id::text;

-- name: is_reported
-- Check whether a condition was reported and is not over.
SELECT 1 FROM outbox o LEFT JOIN incidents i USING (incident_id)
WHERE o.group_key = %(group_key)s AND o.kind = %(kind)s
  AND (o.incident_id IS NULL OR i.closed_at IS NULL AND i.cleared_at IS NULL)
LIMIT 1;

-- name: lease
-- Lease the next due message to a channel, in order within an incident. The lease of a process
-- that died expires. Messages of kinds that only a newer version knows are left to it.
UPDATE notifications SET
    leased_until = %(now)s::timestamptz + %(lease_s)s * interval '1 second', attempts = attempts + 1
WHERE notification_id = (
    SELECT n.notification_id FROM notifications n JOIN incidents i USING (incident_id)
    WHERE n.channel = %(channel)s AND n.state = 'PENDING' AND n.next_attempt_at <= %(now)s
      AND i.kind = ANY(%(kinds)s::text[])
      AND (n.leased_until IS NULL OR n.leased_until <= %(now)s)
      AND NOT EXISTS (SELECT FROM notifications e
                      WHERE e.incident_id = n.incident_id AND e.channel = n.channel
                        AND e.state = 'PENDING' AND e.number < n.number)
    ORDER BY n.next_attempt_at, n.number LIMIT 1 FOR UPDATE OF n SKIP LOCKED)
RETURNING notification_id::text, attempts, attempts - attempts_before AS tries;

-- name: list
-- List messages, newest first, with the last answer to each.
SELECT n.notification_id::text, n.channel, n.part, n.state, n.created_at, n.next_attempt_at, n.attempts,
       n.delivered_at, i.kind, i.stage, i.group_key,
       (SELECT count(*) FROM notification_events e WHERE e.notification_id = n.notification_id)
           AS events,
       (SELECT CASE WHEN o.title <> '' THEN o.title
                    ELSE replace(o.kind, '_', ' ') || coalesce(' at ' || o.stage, '')
                         || coalesce(' (' || o.error_class || ')', '') END
        FROM outbox o WHERE o.incident_id = n.incident_id
        ORDER BY o.occurred_at LIMIT 1) AS title,
       (SELECT min(o.call_id) FROM notification_events e JOIN outbox o USING (event_id)
        WHERE e.notification_id = n.notification_id) AS call_id,
       d.answer AS last_answer, d.at AS last_tried_at
FROM notifications n JOIN incidents i USING (incident_id)
LEFT JOIN LATERAL (SELECT answer, at FROM deliveries d
                   WHERE d.notification_id = n.notification_id
                   ORDER BY attempt DESC LIMIT 1) AS d ON true
WHERE (%(channel)s::text IS NULL OR n.channel = %(channel)s)
  AND (%(state)s::text IS NULL OR n.state = %(state)s)
ORDER BY n.number DESC LIMIT %(limit)s;

-- name: list_attempts
-- List the attempts to deliver a message, in order.
SELECT attempt, at, round(took_s::numeric, 3)::float AS took_s, accepted, code, answer FROM deliveries
WHERE notification_id = %(notification_id)s::uuid ORDER BY attempt;

-- name: list_unsubscribed
-- List the receivers that unsubscribed.
SELECT channel, address, since, answer FROM disabled_receivers ORDER BY channel;

-- name: lock_gathering
-- Let one process at a time create messages.
SELECT pg_advisory_xact_lock(7216004);

-- name: lock_group
-- Lock a group, so that only one process decides whether to report it.
SELECT pg_advisory_xact_lock(7216003, hashtext(%(group_key)s));

-- name: messages_of_event
-- List the messages that contain an event, with the last answer to each.
SELECT n.channel, n.state, d.answer
FROM notification_events e JOIN notifications n USING (notification_id)
LEFT JOIN LATERAL (SELECT answer FROM deliveries d WHERE d.notification_id = n.notification_id
                   ORDER BY attempt DESC LIMIT 1) AS d ON true
WHERE e.event_id = %(event_id)s::uuid ORDER BY n.channel;

-- name: open_groups
-- List the groups of a kind that were reported and are not over.
SELECT group_key FROM incidents WHERE kind = %(kind)s AND closed_at IS NULL AND cleared_at IS NULL;

-- name: record_attempt
-- Record an attempt to deliver a message and schedule the next one. An answer that arrives after
-- another process delivered the message is recorded and changes nothing else.
WITH recorded AS (
    INSERT INTO deliveries (notification_id, attempt, at, took_s, accepted, code, answer)
    VALUES (%(notification_id)s::uuid, %(attempt)s, %(now)s, %(took_s)s, %(accepted)s, %(code)s,
            %(answer)s)
    ON CONFLICT (notification_id, attempt) DO NOTHING
)
UPDATE notifications SET
    state = %(state)s, receipt = coalesce(%(receipt)s, receipt), leased_until = NULL,
    delivered_at = CASE WHEN %(accepted)s THEN %(now)s::timestamptz END,
    next_attempt_at = coalesce(%(next_attempt_at)s::timestamptz, next_attempt_at),
    asked_until = %(asked_until)s::timestamptz
WHERE notification_id = %(notification_id)s::uuid AND state <> 'DELIVERED'
RETURNING state;

-- name: report_alert
-- Record that an alert is reported, if its rule exists and didn't report it already, or repeats it by now.
INSERT INTO reported_alerts (rule_id, subject, reported_on)
SELECT rule_id, %(subject)s, call_day(%(now)s::timestamptz) FROM alert_rules
WHERE rule_id = %(rule_id)s FOR KEY SHARE
ON CONFLICT (rule_id, subject) DO UPDATE SET reported_on = excluded.reported_on
WHERE reported_alerts.reported_on <= excluded.reported_on - %(repeats_after_days)s::integer
RETURNING subject;

-- name: resend
-- Make messages due again at a person's request. Their waits start again from the first.
UPDATE notifications SET
    state = 'PENDING', delivered_at = NULL, next_attempt_at = %(now)s, attempts_before = attempts,
    asked_until = NULL, retried_early = false
WHERE CASE WHEN %(undelivered)s THEN state = 'GAVE_UP' OR state = 'PENDING' AND attempts > 0
           ELSE notification_id = ANY(%(notification_ids)s::uuid[]) END
  AND (leased_until IS NULL OR leased_until <= %(now)s)
RETURNING notification_id::text;

-- name: resubscribe
-- Remove a receiver's unsubscription.
DELETE FROM disabled_receivers WHERE channel = %(channel)s RETURNING channel;

-- name: retry_now
-- Make messages that wait for their next attempt due now, once each, because the channel works
-- again.
UPDATE notifications SET
    next_attempt_at = greatest(%(now)s::timestamptz, asked_until), retried_early = true
WHERE channel = %(channel)s AND state = 'PENDING' AND attempts > 0 AND next_attempt_at > %(now)s
  AND leased_until IS NULL AND NOT retried_early
RETURNING notification_id;

-- name: suppress
-- Suppress events of these calls: they were created for demonstration.
UPDATE outbox SET channels = '{}'
WHERE call_id = ANY(%(call_ids)s) AND incident_id IS NULL RETURNING event_id;

-- name: unsubscribe
-- Record that a receiver unsubscribed.
INSERT INTO disabled_receivers (channel, address, since, answer)
VALUES (%(channel)s, %(address)s, %(now)s, %(answer)s)
ON CONFLICT (channel) DO UPDATE SET
    address = excluded.address, since = excluded.since, answer = excluded.answer
RETURNING channel;

-- name: withdraw_recoveries
-- Withdraw recovery messages that were not sent yet, because the incident has opened again.
WITH withdrawn AS (
    DELETE FROM notifications n USING incidents i
    WHERE n.incident_id = i.incident_id AND i.closed_at IS NULL
      AND n.part = 'recovery' AND n.state = 'PENDING' AND n.attempts = 0
    RETURNING n.notification_id, n.channel
), pending_channels AS (
    SELECT e.event_id, array_agg(e.channel) AS channels
    FROM notification_events e JOIN withdrawn USING (notification_id) GROUP BY e.event_id
)
UPDATE outbox o SET pending_channels = o.pending_channels || pending_channels.channels
FROM pending_channels WHERE o.event_id = pending_channels.event_id;
