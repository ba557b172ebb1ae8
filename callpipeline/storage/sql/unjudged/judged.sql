-- Mentions of a complete call were judged: they are not missing any more, the stage was stored again
-- with more work in it, and the call has changed, by which its day is counted anew. A service for
-- which they waited, and which was not needed in the end, is used no more.
WITH gone AS (
    DELETE FROM unjudged
    WHERE call_id = %(call_id)s AND asked_by = %(run_id)s AND mention_id = ANY(%(mention_ids)s)
    RETURNING away_from
), unused AS (
    DELETE FROM outages o USING gone WHERE o.service = gone.away_from
), stage AS (
    UPDATE call_stages SET run_id = %(run_id)s, took_s = took_s + %(took_s)s,
        stored_at = clock_timestamp()
    WHERE call_id = %(call_id)s AND stage = %(stage)s
)
UPDATE calls SET updated_at = now() WHERE call_id = %(call_id)s;
