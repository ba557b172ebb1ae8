-- Lock a call's row while it is complete: whoever takes it, or erases it, waits or was first.
SELECT 1 FROM calls WHERE call_id = %(call_id)s AND state = 'COMPLETED' FOR NO KEY UPDATE;
