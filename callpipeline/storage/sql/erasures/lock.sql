-- Lock calls in one order; a run that writes results of one ends its transaction first.
SELECT call_id, key, sha256 FROM calls
WHERE call_id = ANY(%(call_ids)s) AND state <> 'ERASED' ORDER BY call_id FOR UPDATE;
