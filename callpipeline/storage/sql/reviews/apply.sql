-- Let hold what people decided last about the mentions of a call, and keep what the rules say.
-- In a transcript that was made anew the same id may be another word: it is said elsewhere.
WITH held AS (
    SELECT DISTINCT ON (mention_id) mention_id, start_s, decision FROM reviews
    WHERE call_id = %(call_id)s ORDER BY mention_id, review_id DESC
)
UPDATE mentions m SET
    status = CASE h.decision WHEN 'accepted' THEN 'accepted' WHEN 'refused' THEN 'rejected'
             ELSE coalesce(m.found_status, m.status) END,
    reason = CASE h.decision WHEN 'accepted' THEN 'a person accepted it'
             WHEN 'refused' THEN 'a person refused it'
             ELSE coalesce(m.found_reason, m.reason) END,
    found_status = CASE WHEN h.decision <> 'left' THEN coalesce(m.found_status, m.status) END,
    found_reason = CASE WHEN h.decision <> 'left' THEN coalesce(m.found_reason, m.reason) END
FROM held h
WHERE m.call_id = %(call_id)s AND m.mention_id = h.mention_id
  AND abs(m.start_s - h.start_s) <= %(near_s)s
RETURNING m.mention_id, m.status, m.reason;
