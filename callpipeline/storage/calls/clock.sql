-- name: settle
-- Compare the time with that of the last look. If the clock was set back, set back as much what is
-- due, leased or beating in the future: otherwise calls would wait, and dead runs keep theirs, until
-- the clock has caught up. Quiet hours are times of the day, so messages not yet sent stay as they
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
        next_attempt_at = CASE WHEN attempts > 0 AND next_attempt_at > now()
                               THEN next_attempt_at - back ELSE next_attempt_at END
    FROM jump WHERE leased_until > now() OR attempts > 0 AND next_attempt_at > now()
), requests AS (
    UPDATE idempotent_requests SET held_until = held_until - back FROM jump
    WHERE held_until > now()
)
SELECT extract(epoch FROM back)::float AS back_s FROM jump;
