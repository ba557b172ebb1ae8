-- How many calls are taken before each of these that wait: in the order of calls/assign_batch, lane
-- by lane, those that a run was asked for first. Calls that are not to be taken yet have no place.
WITH waiting AS (
    SELECT call_id, row_number() OVER (
               PARTITION BY lane
               ORDER BY batch_id IS NULL, batched_at, priority DESC, created_at, call_id) - 1
           AS ahead
    FROM calls
    WHERE state = 'PENDING'
      AND (batch_id IS NOT NULL
           OR away_from IS NULL AND (not_before IS NULL OR not_before <= now()))
)
SELECT call_id, ahead FROM waiting WHERE call_id = ANY(%(call_ids)s);
