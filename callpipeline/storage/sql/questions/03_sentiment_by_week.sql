-- Is the talk about Vodafone getting better or worse?
SELECT week, judged, positive, negative, round(mean_score::numeric, 2) AS mean_score,
       round(change::numeric, 2) AS change
FROM analytics.sentiment_trend WHERE competitor = 'Vodafone' ORDER BY week;
