-- name: apply
-- Apply the last correction of each mention of a call, and keep what the judge found. In a new
-- transcript the same id may be another word: then its time differs.
WITH latest AS (
    SELECT DISTINCT ON (c.mention_id) c.mention_id, c.sentiment
    FROM sentiment_corrections c JOIN mentions m USING (call_id, mention_id)
    WHERE c.call_id = %(call_id)s AND abs(m.start_s - c.start_s) <= %(near_s)s
    ORDER BY c.mention_id, c.correction_id DESC
)
UPDATE sentiment s SET
    judged = CASE WHEN l.sentiment IS NOT NULL THEN coalesce(s.judged, jsonb_build_object(
        'sentiment', s.sentiment, 'score', s.score, 'rule', s.rule, 'confidence', s.confidence)) END,
    sentiment = coalesce(l.sentiment, s.judged ->> 'sentiment', s.sentiment),
    score = CASE l.sentiment WHEN 'positive' THEN 1 WHEN 'negative' THEN -1 WHEN 'neutral' THEN 0
            WHEN 'mixed' THEN 0 ELSE coalesce((s.judged ->> 'score')::float8, s.score) END,
    rule = CASE WHEN l.sentiment IS NOT NULL THEN 'a person corrected it'
           ELSE coalesce(s.judged ->> 'rule', s.rule) END,
    confidence = CASE WHEN l.sentiment IS NOT NULL THEN NULL
                 WHEN s.judged IS NULL THEN s.confidence
                 ELSE (s.judged ->> 'confidence')::float8 END
FROM latest l
WHERE s.call_id = %(call_id)s AND s.mention_id = l.mention_id
  AND (l.sentiment IS NOT NULL OR s.judged IS NOT NULL);

-- name: present
-- Return the sentiment of a mention, and who corrected it last.
SELECT s.sentiment, m.start_s, c.corrected_by, c.sentiment AS corrected
FROM mentions m JOIN sentiment s USING (call_id, mention_id)
LEFT JOIN LATERAL (
    SELECT * FROM sentiment_corrections c
    WHERE c.call_id = m.call_id AND c.mention_id = m.mention_id
      AND abs(m.start_s - c.start_s) <= %(near_s)s
    ORDER BY c.correction_id DESC LIMIT 1) AS c ON true
WHERE m.call_id = %(call_id)s AND m.mention_id = %(mention_id)s AND m.status = 'counted';

-- name: insert
-- Insert a correction.
INSERT INTO sentiment_corrections (call_id, mention_id, start_s, sentiment, corrected_by)
VALUES (%(call_id)s, %(mention_id)s, %(start_s)s, %(sentiment)s, %(by)s);

-- name: corrected_mentions
-- List the counted mentions whose sentiment people corrected, newest first.
SELECT m.*, s.sentiment FROM (
    SELECT DISTINCT ON (c.call_id, c.mention_id) c.* FROM sentiment_corrections c
    JOIN mentions m USING (call_id, mention_id)
    WHERE abs(m.start_s - c.start_s) <= %(near_s)s
    ORDER BY c.call_id, c.mention_id, c.correction_id DESC) AS c
JOIN mentions m USING (call_id, mention_id) JOIN sentiment s USING (call_id, mention_id)
WHERE c.sentiment IS NOT NULL AND m.status = 'counted'
ORDER BY c.correction_id DESC LIMIT %(limit)s;
