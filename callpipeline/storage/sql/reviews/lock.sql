-- Lock the row of a call that is not erased: runs that write of it wait, or were first.
SELECT state FROM calls WHERE call_id = %(call_id)s AND state <> 'ERASED' FOR NO KEY UPDATE;
