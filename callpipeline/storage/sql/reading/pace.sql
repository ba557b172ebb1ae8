-- How fast calls go: those that ended in the last hour, and the median of work of each stage.
SELECT s.stage, percentile_cont(0.5) WITHIN GROUP (ORDER BY s.took_s) AS took_s,
       (SELECT count(*) FROM calls WHERE first_ended_at > now() - interval '1 hour') AS ended
FROM unnest(%(stages)s::text[]) AS wanted (stage)
CROSS JOIN LATERAL (SELECT stage, took_s FROM call_stages WHERE stage = wanted.stage
                    ORDER BY stored_at DESC LIMIT %(recent)s) AS s
GROUP BY s.stage;
