-- Seconds of work that each stage of each call of some days took.
SELECT c.day, s.stage, s.took_s
FROM analytics.calls c JOIN call_stages s USING (call_id)
WHERE c.day = ANY(%(days)s);
