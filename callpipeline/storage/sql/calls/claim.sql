-- Take calls for a run: those that no other run holds and that are neither erased nor duplicates.
-- Stages that are to be made anew are forgotten; what else is stored, and was not deleted since, is
-- kept.
-- Calls stay out of which a stage is not stored that the run needs and does not make.
-- A run that asks for judgements which a complete call lacks writes none of them any more.
-- A call that has ended is tried again because a person wants it: its counts begin anew.
WITH alive AS (
    INSERT INTO runs (run_id) VALUES (%(run_id)s)
    ON CONFLICT (run_id) DO UPDATE SET alive_at = now()
), claimed AS (
    UPDATE calls SET
        state = 'PROCESSING', claimed_by = %(run_id)s, batch_id = NULL, batched_at = NULL,
        not_before = NULL,
        attempts = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN attempts ELSE 0 END,
        retries = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN retries ELSE 0 END,
        away_since = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN away_since END,
        away_from = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN away_from END,
        given_back = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN given_back ELSE 0 END,
        error_stage = NULL, error_class = NULL, error_message = NULL, error_transient = NULL,
        completed_at = NULL, updated_at = now()
    WHERE call_id = ANY(%(call_ids)s) AND state NOT IN ('DUPLICATE', 'ERASED')
      AND (claimed_by IS NULL OR claimed_by = %(run_id)s)
      AND (state = 'PENDING' OR NOT %(only_waiting)s OR claimed_by = %(run_id)s)
      AND NOT EXISTS (
          SELECT FROM unnest(%(needed)s::text[]) AS needed (stage)
          WHERE NOT EXISTS (SELECT FROM stored_stages s
                            WHERE s.call_id = calls.call_id AND s.stage = needed.stage))
    RETURNING call_id, bucket, key, etag, size_bytes, last_modified, agent_channel, duplicates,
              sha256
), unasked AS (
    UPDATE unjudged u SET asked_by = NULL FROM claimed
    WHERE u.call_id = claimed.call_id AND u.asked_by IS NOT NULL
), forgotten AS (
    DELETE FROM call_stages s USING claimed
    WHERE s.call_id = claimed.call_id AND s.stage = ANY(%(anew)s)
)
SELECT claimed.*,
       ARRAY(SELECT stage FROM stored_stages s
             WHERE s.call_id = claimed.call_id AND NOT s.stage = ANY(%(anew)s)) AS stages_done
FROM claimed;
