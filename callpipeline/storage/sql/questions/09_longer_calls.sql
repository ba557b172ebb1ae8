-- Are calls longer in which a competitor is named, and who speaks more in them?
SELECT EXISTS (SELECT FROM analytics.mentions n
               WHERE n.call_id = m.call_id AND n.status = 'accepted') AS competitor_is_named,
       count(*) AS calls, round(avg(m.duration_s)::numeric, 1) AS mean_duration_s,
       round(avg(m.agent_talk_share)::numeric, 2) AS mean_agent_talk_share
FROM analytics.call_metrics m GROUP BY 1 ORDER BY 1;
