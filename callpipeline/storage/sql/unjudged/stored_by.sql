-- Whether a stage of a call was stored by a run the last time.
SELECT 1 FROM call_stages
WHERE call_id = %(call_id)s AND stage = %(stage)s AND run_id = %(run_id)s;
