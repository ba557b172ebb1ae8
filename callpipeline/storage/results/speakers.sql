-- name: apply_decision
-- Give the voices of a call the roles that a person decided last.
UPDATE voices v SET speaker = CASE v.voice WHEN d.agent_voice THEN 'agent' ELSE 'customer' END
FROM (SELECT agent_voice FROM voice_decisions WHERE call_id = %(call_id)s
      ORDER BY decision_id DESC LIMIT 1) d
WHERE v.call_id = %(call_id)s;

-- name: insert_decision
-- Insert a decision on which voice is the agent, if the transcript has voices.
INSERT INTO voice_decisions (call_id, agent_voice, decided_by)
SELECT %(call_id)s, %(agent_voice)s, %(by)s
WHERE EXISTS (SELECT FROM segments WHERE call_id = %(call_id)s AND voice IS NOT NULL)
RETURNING *;

-- name: last_decision
-- Select the decision in force on the voices of a call.
SELECT *, ceil(extract(epoch FROM clock_timestamp() - decided_at) / 60)::integer AS minutes
FROM voice_decisions WHERE call_id = %(call_id)s ORDER BY decision_id DESC LIMIT 1;

-- name: update_mentions
-- Bring the speakers of mentions in line with their segments'.
UPDATE mentions m SET speaker = s.speaker
FROM segments s
WHERE m.call_id = %(call_id)s AND s.call_id = m.call_id AND s.channel = m.channel
  AND s.segment_index = m.segment_index AND s.voice IS NOT NULL AND m.speaker <> s.speaker;

-- name: update_metrics
-- Divide the talk time of a mono recording by the roles of its voices.
UPDATE call_metrics m SET
    agent_talk_s = t.agent_s, customer_talk_s = t.customer_s,
    unknown_talk_s = greatest(0, m.duration_s - m.silence_s - t.agent_s - t.customer_s)
FROM (SELECT coalesce(sum(talk_s) FILTER (WHERE speaker = 'agent'), 0) AS agent_s,
             coalesce(sum(talk_s) FILTER (WHERE speaker = 'customer'), 0) AS customer_s
      FROM voices WHERE call_id = %(call_id)s) t
WHERE m.call_id = %(call_id)s
  AND EXISTS (SELECT FROM channels c WHERE c.call_id = m.call_id AND c.channel = 'mixed');

-- name: update_segments
-- Bring the speakers of segments in line with the roles of their voices.
UPDATE segments s SET speaker = v.speaker
FROM voices v
WHERE s.call_id = %(call_id)s AND v.call_id = s.call_id AND v.voice = s.voice
  AND s.speaker <> v.speaker;

-- name: voices
-- List the voices of a call, with their roles.
SELECT voice, talk_s, speaker FROM voices WHERE call_id = %(call_id)s ORDER BY voice;
