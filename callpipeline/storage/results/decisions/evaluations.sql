-- name: last
-- Return the last evaluation of a subject.
SELECT versions, labels, outcomes, numbers, measured_at FROM evaluations
WHERE subject = %(subject)s ORDER BY evaluation_id DESC LIMIT 1;

-- name: last_of_other_versions
-- Return the last evaluation of a subject under other versions.
SELECT versions, labels, outcomes, numbers, measured_at FROM evaluations
WHERE subject = %(subject)s AND versions <> %(versions)s ORDER BY evaluation_id DESC LIMIT 1;

-- name: insert
-- Store an evaluation; of each pair of subject and versions, only the newest is kept.
WITH older AS (
    DELETE FROM evaluations WHERE subject = %(subject)s AND versions = %(versions)s
)
INSERT INTO evaluations (subject, versions, labels, outcomes, numbers)
VALUES (%(subject)s, %(versions)s, %(labels)s, %(outcomes)s, %(numbers)s);

-- name: reviewed_mentions
-- List the mentions that people confirmed or dismissed, with the text of their segment and those
-- around it; newest decisions first.
SELECT m.call_id, m.mention_id, m.competitor, m.char_start, m.char_end, s.text, r.decision,
       p.text AS text_before, n.text AS text_after
FROM (SELECT DISTINCT ON (call_id, mention_id) * FROM reviews
      ORDER BY call_id, mention_id, review_id DESC) AS r
JOIN mentions m ON m.call_id = r.call_id AND m.mention_id = r.mention_id
JOIN segments s ON s.call_id = m.call_id AND s.channel = m.channel
    AND s.segment_index = m.segment_index
LEFT JOIN segments p ON p.call_id = m.call_id AND p.channel = m.channel
    AND p.segment_index = m.segment_index - 1
LEFT JOIN segments n ON n.call_id = m.call_id AND n.channel = m.channel
    AND n.segment_index = m.segment_index + 1
WHERE r.decision IN ('confirmed', 'dismissed') AND m.char_end <= length(s.text)
  AND abs(m.start_s - r.start_s) <= %(max_shift_s)s
ORDER BY r.review_id DESC LIMIT %(limit)s;

-- name: open_questions
-- Count the questions that the newest completed calls leave open, one for each name of a call.
SELECT count(*) AS calls, coalesce(sum(q.questions), 0)::bigint AS questions
FROM (SELECT call_id FROM calls WHERE state = 'COMPLETED'
      ORDER BY completed_at DESC LIMIT %(limit)s) AS c
CROSS JOIN LATERAL (
    SELECT count(DISTINCT m.competitor) AS questions FROM mentions m
    WHERE m.call_id = c.call_id AND coalesce(m.found_status, m.status) = 'needs_review'
) AS q;

-- name: expected_misses
-- Sum up, for the ambiguous names of the newest completed calls, those that count by themselves and
-- the probabilities, by their scores, that the others mean the company.
SELECT count(*) FILTER (WHERE f.status = 'counted') AS counted,
       coalesce(sum(1 / (1 + exp(-f.log_odds))) FILTER (WHERE f.status <> 'counted'), 0)::float8 AS missed
FROM (SELECT call_id FROM calls WHERE state = 'COMPLETED'
      ORDER BY completed_at DESC LIMIT %(limit)s) AS c
CROSS JOIN LATERAL (
    SELECT coalesce(m.found_status, m.status) AS status, m.log_odds FROM mentions m
    WHERE m.call_id = c.call_id AND m.log_odds IS NOT NULL
) AS f;
