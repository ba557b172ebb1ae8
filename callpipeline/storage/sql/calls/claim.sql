-- Take calls for a run: those that no other run holds and that are not erased.
-- Stages that are to be made anew are forgotten; what else is stored is kept.
WITH claimed AS (
    UPDATE calls SET
        state = 'PROCESSING', claimed_by = %(run_id)s, batch_id = NULL,
        error_stage = NULL, error_class = NULL, error_message = NULL, error_transient = NULL,
        completed_at = NULL, updated_at = now()
    WHERE call_id = ANY(%(call_ids)s) AND state <> 'ERASED'
      AND (claimed_by IS NULL OR claimed_by = %(run_id)s)
    RETURNING call_id, bucket, key, etag, size_bytes, last_modified, agent_channel
), forgotten AS (
    DELETE FROM call_stages s USING claimed
    WHERE s.call_id = claimed.call_id AND s.stage = ANY(%(anew)s)
)
SELECT claimed.*,
       ARRAY(SELECT stage FROM call_stages s
             WHERE s.call_id = claimed.call_id AND NOT s.stage = ANY(%(anew)s)) AS stages_done
FROM claimed;
