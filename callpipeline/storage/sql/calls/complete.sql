-- The run has done its part of the call. Complete means that every stage is stored;
-- a run over some of the stages of a call that never had the others leaves it waiting for them.
-- That it is complete is told where somebody wants to hear of it. A service for which it waited,
-- and which it did without in the end, is used no more: its address was changed.
WITH ended AS (
    UPDATE calls SET
        state = CASE WHEN stored.stages >= %(stage_count)s THEN 'COMPLETED' ELSE 'PENDING' END,
        completed_at = CASE WHEN stored.stages >= %(stage_count)s THEN now() END,
        claimed_by = NULL, attempts = 0, retries = 0, fruitless = 0, given_back = 0,
        away_since = NULL, away_from = NULL,
        priority = 0, updated_at = now()
    FROM (SELECT count(*) AS stages FROM call_stages WHERE call_id = %(call_id)s) AS stored,
         (SELECT away_from AS service FROM calls WHERE call_id = %(call_id)s) AS waited
    WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
    RETURNING call_id, state, waited.service
), unused AS (
    DELETE FROM outages o USING ended WHERE o.service = ended.service AND ended.state = 'COMPLETED'
), told AS (
    INSERT INTO outbox (kind, severity, group_key, call_id, run_id)
    SELECT 'call_completed', 'info', 'call_completed', call_id, %(run_id)s
    FROM ended WHERE state = 'COMPLETED' AND %(tell)s
)
SELECT state FROM ended;
