-- The mentions of a call that a run has taken and may write of: none when it was taken for dead.
SELECT mention_id FROM unjudged
WHERE call_id = %(call_id)s AND asked_by = %(run_id)s
  AND EXISTS (SELECT FROM runs WHERE run_id = %(run_id)s);
