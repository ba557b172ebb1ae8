-- Lock a call's row if the run still holds it; without a row the claim is lost.
SELECT 1 FROM calls
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
FOR NO KEY UPDATE;
