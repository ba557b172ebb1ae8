-- name: most_named
-- Which competitors are mentioned most, and in what share of calls?
SELECT m.competitor, count(*) AS mentions, count(DISTINCT m.call_id) AS calls,
       round(100.0 * count(DISTINCT m.call_id)
             / (SELECT count(*) FROM analytics.calls
                WHERE state = 'COMPLETED' AND day BETWEEN '2026-03-01' AND '2026-03-31'), 1)
           AS percent_of_calls
FROM analytics.mentions m
WHERE m.status = 'counted' AND m.day BETWEEN '2026-03-01' AND '2026-03-31'
GROUP BY m.competitor ORDER BY mentions DESC, m.competitor;

-- name: who_brings_them_up
-- Who brings competitors up, agents or customers, and when in the call?
SELECT competitor, brought_up_by, count(*) AS calls,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY at_s)::numeric, 1) AS median_at_s
FROM analytics.first_mention
WHERE day BETWEEN '2026-03-01' AND '2026-03-31'
GROUP BY competitor, brought_up_by ORDER BY competitor, brought_up_by;

-- name: sentiment_by_week
-- Is sentiment towards Vodafone getting better or worse?
SELECT week, judged, positive, negative, round(customer_score::numeric, 2) AS customer_score,
       round(customer_change::numeric, 2) AS change
FROM analytics.sentiment_trend WHERE competitor = 'Vodafone' ORDER BY week;

-- name: going_to_a_competitor
-- Which customers say they are leaving for a competitor? (To call back today.)
SELECT call_id, competitor, start_s, quote
FROM analytics.switching
WHERE direction = 'to' AND day BETWEEN '2026-03-01' AND '2026-03-31'
ORDER BY took_place_at DESC, start_s;

-- name: coming_from
-- Which competitors do customers want to leave?
SELECT competitor, count(DISTINCT call_id) AS calls
FROM analytics.switching WHERE direction = 'from'
GROUP BY competitor ORDER BY calls DESC, competitor;

-- name: agents_who_name_them
-- Which agents mention competitors, and how often?
SELECT agent, sum(by_agent) AS named_by_agent, sum(by_customer) AS named_by_customer,
       count(*) AS competitors
FROM analytics.agent_competitor
GROUP BY agent ORDER BY named_by_agent DESC, agent;

-- name: share_of_voice
-- How does each competitor's share of voice change from week to week?
WITH weekly AS (
    SELECT date_trunc('week', day::timestamp)::date AS week, competitor, sum(mentions) AS mentions
    FROM analytics.share_of_voice GROUP BY 1, 2
)
SELECT week, competitor, mentions::int,
       round(100 * mentions / sum(mentions) OVER (PARTITION BY week), 1) AS percent
FROM weekly ORDER BY week, percent DESC, competitor;

-- name: named_early
-- Which calls are about a competitor: mentioned by the customer in the first minute?
SELECT call_id, competitor, round(at_s::numeric, 1) AS at_s, said
FROM analytics.first_mention
WHERE brought_up_by = 'customer' AND at_s < 60 AND day BETWEEN '2026-03-01' AND '2026-03-31'
ORDER BY took_place_at, competitor;

-- name: longer_calls
-- Are calls with a competitor mention longer, and who talks more in them?
SELECT EXISTS (SELECT FROM analytics.mentions n
               WHERE n.call_id = m.call_id AND n.status = 'counted') AS competitor_is_named,
       count(*) AS calls, round(avg(m.duration_s)::numeric, 1) AS mean_duration_s,
       round(avg(m.agent_talk_share)::numeric, 2) AS mean_agent_talk_share
FROM analytics.call_metrics m GROUP BY 1 ORDER BY 1;

-- name: what_is_said_badly
-- What do customers hold against Virgin Media, and where in the calls?
SELECT s.call_id, s.start_s, s.score, s.quote, g.text AS segment
FROM analytics.sentiment s
JOIN analytics.mentions m USING (call_id, mention_id)
JOIN analytics.segments g ON g.call_id = m.call_id AND g.channel = m.channel
                         AND g.segment_index = m.segment_index
WHERE s.competitor = 'Virgin Media' AND s.sentiment = 'negative' AND s.speaker = 'customer'
ORDER BY s.took_place_at DESC, s.start_s LIMIT 50;
