-- A person wants the mentions of complete calls judged now that could not be: their tries begin anew.
UPDATE unjudged u SET tries = 0, away_since = NULL, not_before = now(), updated_at = now()
FROM calls c, mentions m
WHERE u.call_id = ANY(%(call_ids)s) AND c.call_id = u.call_id AND c.state = 'COMPLETED'
  AND m.call_id = u.call_id AND m.mention_id = u.mention_id AND m.status = 'accepted'
  AND EXISTS (SELECT FROM stored_stages s WHERE s.call_id = u.call_id AND s.stage = 'transcripts')
RETURNING u.call_id;
