-- name: count_calls
-- Count the completed calls with a transcript.
SELECT count(*) AS calls
FROM calls c JOIN stored_stages t ON t.call_id = c.call_id AND t.stage = 'transcripts'
WHERE c.state = 'COMPLETED';

-- name: newest_calls
-- List the newest completed calls with a transcript.
SELECT c.call_id
FROM calls c JOIN stored_stages t ON t.call_id = c.call_id AND t.stage = 'transcripts'
WHERE c.state = 'COMPLETED'
ORDER BY coalesce(c.started_at, c.last_modified) DESC, c.call_id DESC LIMIT %(limit)s;

-- name: segments
-- List the segments of calls, in order.
SELECT call_id, start_s, end_s, text FROM segments
WHERE call_id = ANY(%(call_ids)s) ORDER BY call_id, channel, segment_index;

-- name: refused
-- List the aliases that people refused.
SELECT competitor, letters FROM refused_aliases;

-- name: refuse
-- Remember that an alias is not to be proposed again.
INSERT INTO refused_aliases (competitor, letters, alias, refused_by)
VALUES (%(competitor)s, %(letters)s, %(alias)s, %(refused_by)s)
ON CONFLICT (competitor, letters) DO NOTHING;

-- name: forget_refusals
-- Forget that aliases were refused.
DELETE FROM refused_aliases WHERE competitor = %(competitor)s AND letters = ANY(%(letters)s);
