-- name: settle
-- Compare the time with that of the last look. If the clock was set back, set back as much what is
-- due, leased or beating in the future, and what waits a while since: otherwise calls and
-- notifications would wait, dead runs keep theirs, and days not be counted again, until the clock has
-- caught up. Quiet hours are times of the day, so messages not yet sent stay as they
-- are. Return the seconds that the clock was set back.
WITH last AS MATERIALIZED (
    SELECT seen_at - clock_timestamp() AS back FROM clock FOR UPDATE
), jump AS MATERIALIZED (
    SELECT back FROM last WHERE back > %(least_s)s * interval '1 second'
), seen AS (
    UPDATE clock SET seen_at = clock_timestamp() FROM last
), waiting_calls AS (
    UPDATE calls SET
        next_attempt_at = CASE WHEN next_attempt_at > now() THEN next_attempt_at - back
                               ELSE next_attempt_at END,
        metadata_due_at = CASE WHEN metadata_due_at > now() THEN metadata_due_at - back
                               ELSE metadata_due_at END
    FROM jump WHERE greatest(next_attempt_at, metadata_due_at) > now()
), beats AS (
    UPDATE runs SET heartbeat_at = heartbeat_at - back FROM jump WHERE heartbeat_at > now()
), probes AS (
    UPDATE outages SET retry_at = CASE WHEN retry_at > now() THEN retry_at - back ELSE retry_at END,
        probe_started_at = CASE WHEN probe_started_at > now() THEN probe_started_at - back
                                ELSE probe_started_at END
    FROM jump WHERE greatest(retry_at, probe_started_at) > now()
), judgements AS (
    UPDATE unjudged SET next_attempt_at = next_attempt_at - back FROM jump
    WHERE next_attempt_at > now()
), rematched AS (
    UPDATE rematch_calls SET next_attempt_at = next_attempt_at - back FROM jump
    WHERE next_attempt_at > now()
), messages AS (
    UPDATE notifications SET leased_until = leased_until - back,
        created_at = CASE WHEN created_at > now() THEN created_at - back ELSE created_at END,
        next_attempt_at = CASE WHEN attempts > 0 AND next_attempt_at > now()
                               THEN next_attempt_at - back ELSE next_attempt_at END
    FROM jump WHERE greatest(leased_until, created_at) > now()
                 OR attempts > 0 AND next_attempt_at > now()
), events AS (
    UPDATE outbox SET occurred_at = occurred_at - back FROM jump
    WHERE incident_id IS NULL AND occurred_at > now()
), incident_times AS (
    UPDATE incidents SET last_event_at = last_event_at - back,
        opened_at = CASE WHEN opened_at > now() THEN opened_at - back ELSE opened_at END
    FROM jump WHERE last_event_at > now()
), checked_rules AS (
    UPDATE alert_rules SET checked_at = checked_at - back FROM jump WHERE checked_at > now()
), counted_days AS (
    UPDATE daily_calls SET made_at = made_at - back FROM jump WHERE made_at > now()
), requests AS (
    UPDATE idempotent_requests SET held_until = held_until - back FROM jump
    WHERE held_until > now()
)
SELECT extract(epoch FROM back)::float AS back_s FROM jump;
