-- Batches with calls that still wait for their run to begin.
SELECT batch_id, array_agg(call_id ORDER BY call_id) AS call_ids FROM calls
WHERE state = 'PENDING' AND batch_id IS NOT NULL
GROUP BY batch_id ORDER BY min(created_at), batch_id;
