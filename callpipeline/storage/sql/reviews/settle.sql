-- Of the mentions of a call about which people decided, those that do not count have no sentiment;
-- those that do, and have none, are judged next, or never where what was said is gone.
WITH reviewed AS (
    SELECT m.* FROM mentions m
    WHERE m.call_id = %(call_id)s
      AND EXISTS (SELECT FROM reviews r
                  WHERE r.call_id = m.call_id AND r.mention_id = m.mention_id)
), unsaid AS (
    DELETE FROM sentiment s USING reviewed m
    WHERE s.call_id = m.call_id AND s.mention_id = m.mention_id AND m.status <> 'accepted'
), unasked AS (
    DELETE FROM unjudged u USING reviewed m
    WHERE u.call_id = m.call_id AND u.mention_id = m.mention_id AND m.status <> 'accepted'
), transcripts AS (
    SELECT EXISTS (SELECT FROM stored_stages s
                   WHERE s.call_id = %(call_id)s AND s.stage = 'transcripts') AS are_there
)
INSERT INTO unjudged (call_id, mention_id, competitor, reason, error_class, transient, tries,
                      not_before)
SELECT m.call_id, m.mention_id, m.competitor,
       CASE WHEN t.are_there THEN 'It counts since a person looked at it, and is judged next.'
            ELSE 'What was said was deleted, when its time was over.' END,
       CASE WHEN t.are_there THEN 'Reviewed' ELSE 'MissingObject' END,
       t.are_there, 0, CASE WHEN t.are_there THEN now() END
FROM reviewed m CROSS JOIN transcripts t
WHERE m.status = 'accepted'
  AND NOT EXISTS (SELECT FROM sentiment s
                  WHERE s.call_id = m.call_id AND s.mention_id = m.mention_id)
  AND NOT EXISTS (SELECT FROM unjudged u
                  WHERE u.call_id = m.call_id AND u.mention_id = m.mention_id);
