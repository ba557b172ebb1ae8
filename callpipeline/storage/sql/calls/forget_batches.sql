-- Let calls whose batch will never run be put into another one.
UPDATE calls SET batch_id = NULL, updated_at = now()
WHERE state = 'PENDING' AND batch_id = ANY(%(batch_ids)s)
RETURNING call_id;
