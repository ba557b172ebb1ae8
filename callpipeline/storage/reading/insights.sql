-- name: agents
-- Count the filtered mentions by agent, most first, with the agent's name in one of the calls.
SELECT a.*, r.agent_name AS name
FROM (SELECT m.agent, min(m.call_id) AS call_id,
          -- include reading/mention_counts
      FROM reading_mentions m WHERE
          -- include reading/mention_conditions
      GROUP BY m.agent ORDER BY mentions DESC, m.agent LIMIT %(limit)s) AS a
JOIN reading_calls r USING (call_id) ORDER BY a.mentions DESC, a.agent;

-- name: agent_work
-- Count by agent what filtered completed calls have: seconds of talk, mentions by the agent and by
-- others, the calls with them, and how many of the customers' the agent answered: with four words or
-- more, within 30 seconds.
WITH talk AS (
    SELECT r.agent, min(r.agent_name) AS name, count(*) AS completed,
           coalesce(sum(t.agent_talk_s), 0) AS agent_talk_s,
           coalesce(sum(t.customer_talk_s), 0) AS customer_talk_s
    FROM reading_calls r LEFT JOIN call_metrics t USING (call_id) WHERE
    -- include reading/call_conditions
    GROUP BY r.agent
), by_call AS (
    SELECT m.agent, m.call_id, count(*) FILTER (WHERE m.speaker = 'agent') AS raised,
           count(*) FILTER (WHERE m.speaker = 'customer') AS asked
    FROM reading_mentions m WHERE
    -- include reading/mention_conditions
    GROUP BY m.agent, m.call_id
), said AS (
    SELECT agent, sum(raised)::bigint AS raised, count(*) FILTER (WHERE raised > 0) AS raised_calls,
           sum(asked)::bigint AS asked, count(*) FILTER (WHERE asked > 0) AS asked_calls
    FROM by_call GROUP BY agent
), answered AS (
    SELECT m.agent, count(*) AS answered
    FROM reading_mentions m JOIN mentions n USING (call_id, mention_id)
    JOIN segments g ON g.call_id = n.call_id AND g.channel = n.channel
                    AND g.segment_index = n.segment_index
    WHERE m.speaker = 'customer'
      AND EXISTS (SELECT FROM segments s
                  WHERE s.call_id = m.call_id AND s.speaker = 'agent'
                    AND s.start_s BETWEEN g.end_s - 1 AND g.end_s + 30
                    AND array_length(string_to_array(s.text, ' '), 1) >= 4) AND
    -- include reading/mention_conditions
    GROUP BY m.agent
)
SELECT t.*, coalesce(s.raised, 0) AS raised, coalesce(s.raised_calls, 0) AS raised_calls,
       coalesce(s.asked, 0) AS asked, coalesce(s.asked_calls, 0) AS asked_calls,
       coalesce(a.answered, 0) AS answered
FROM talk t LEFT JOIN said s USING (agent) LEFT JOIN answered a USING (agent)
ORDER BY t.agent;

-- name: calls_of_customer
-- List the calls of a customer, newest first.
SELECT c.call_id FROM calls c
WHERE lower(c.metadata ->> 'customer') = lower(%(customer)s) AND c.state <> 'ERASED'
ORDER BY coalesce(c.started_at, c.last_modified) DESC, c.call_id DESC LIMIT %(limit)s;

-- name: answers
-- List what customers said in the newest filtered mentions, and what the agent said next, within
-- 30 seconds, newest call first.
WITH newest AS (
    SELECT m.call_id, m.mention_id, m.day FROM reading_mentions m
    WHERE m.speaker = 'customer' AND
    -- include reading/mention_conditions
    ORDER BY m.day DESC, m.took_place_at DESC, m.call_id DESC, m.mention_id DESC LIMIT 10 * %(limit)s
), asked AS (
    -- A segment may name several competitors, or one several times.
    SELECT DISTINCT ON (w.day, g.call_id, g.start_s, g.channel, g.segment_index)
           w.day, g.call_id, w.mention_id, g.start_s, g.end_s, g.text
    FROM newest w JOIN mentions n USING (call_id, mention_id)
    JOIN segments g USING (call_id, channel, segment_index)
    ORDER BY w.day, g.call_id, g.start_s, g.channel, g.segment_index, n.start_s, w.mention_id
)
SELECT q.call_id, q.mention_id, c.agent_name AS agent, q.start_s, a.end_s, q.text AS question,
       a.text AS answer
FROM asked q JOIN reading_calls c USING (call_id)
CROSS JOIN LATERAL (
    SELECT s.text, s.end_s FROM segments s
    WHERE s.call_id = q.call_id AND s.speaker = 'agent' AND s.start_s >= q.end_s - 1
      AND s.start_s <= q.end_s + 30 AND array_length(string_to_array(s.text, ' '), 1) >= 4
    ORDER BY s.start_s LIMIT 1) AS a
ORDER BY q.day DESC, q.call_id DESC, q.start_s LIMIT %(limit)s;

-- name: count_moments
-- Count the filtered mentions, and the calls with them.
SELECT count(*) AS moments, count(DISTINCT m.call_id) AS calls FROM reading_mentions m WHERE
    -- include reading/mention_conditions
;

-- name: first_heard
-- List those of the competitors that no call before a day mentions.
SELECT named.competitor FROM unnest(%(names)s::text[]) AS named (competitor)
WHERE NOT EXISTS (SELECT FROM reading_mentions m
                  WHERE m.competitor = named.competitor AND m.day < %(before)s::date);

-- name: said_about
-- List the texts of the segments of filtered mentions, newest first.
WITH newest AS (
    SELECT m.call_id, m.mention_id, m.stance, m.day FROM reading_mentions m WHERE
    -- include reading/mention_conditions
    ORDER BY m.day DESC, m.took_place_at DESC, m.call_id DESC, m.mention_id DESC LIMIT %(limit)s
)
SELECT w.call_id, w.mention_id, w.stance, coalesce(nullif(s.quote, ''), g.text, n.text) AS text,
       n.text AS name
FROM newest w JOIN mentions n USING (call_id, mention_id)
LEFT JOIN sentiment s USING (call_id, mention_id)
LEFT JOIN segments g USING (call_id, channel, segment_index)
ORDER BY w.day DESC, w.call_id DESC, n.start_s;
