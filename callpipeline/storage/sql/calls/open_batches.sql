-- Batches with calls that still wait for their run to begin; how long ago it was asked for.
SELECT batch_id, min(lane) AS lane, max(priority) AS priority,
       array_agg(call_id ORDER BY call_id) AS call_ids,
       extract(epoch FROM now() - min(batched_at))::float AS age_s
FROM calls
WHERE state = 'PENDING' AND batch_id IS NOT NULL
GROUP BY batch_id ORDER BY min(created_at), batch_id;
