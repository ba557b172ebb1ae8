-- Take calls for a run: those that no other run holds and that are not erased.
-- A run that takes up earlier work (resume) keeps the stages stored since fresh_since.
UPDATE calls SET
    state = 'PROCESSING', claimed_by = %(run_id)s, attempts = attempts + 1, batch_id = NULL,
    fresh_since = CASE WHEN %(resume)s THEN fresh_since ELSE now() END,
    error_stage = NULL, error_class = NULL, error_message = NULL, error_transient = NULL,
    completed_at = NULL, updated_at = now()
WHERE call_id = ANY(%(call_ids)s) AND state <> 'ERASED'
  AND (claimed_by IS NULL OR claimed_by = %(run_id)s)
RETURNING call_id, bucket, key, etag, size_bytes, last_modified, agent_channel,
    ARRAY(SELECT stage FROM call_stages s
          WHERE s.call_id = calls.call_id AND s.stored_at >= calls.fresh_since) AS stages_done;
