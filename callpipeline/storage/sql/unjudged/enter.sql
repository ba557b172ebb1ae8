-- Note mentions that could not be judged. What another try may cure waits for it; what a service is
-- away from, until that is tried.
INSERT INTO unjudged (call_id, mention_id, competitor, reason, error_class, transient, not_before,
                      away_from, away_since, tries)
SELECT %(call_id)s, u.mention_id, u.competitor, u.reason, u.error_class, u.transient,
       CASE WHEN u.away_from IS NOT NULL THEN coalesce(o.again_at, now())
            WHEN u.transient THEN now() + %(wait_s)s * interval '1 second' END,
       u.away_from, CASE WHEN u.away_from IS NOT NULL THEN now() END,
       CASE WHEN u.away_from IS NOT NULL THEN 0 ELSE 1 END
FROM unnest(%(mention_id)s::text[], %(competitor)s::text[], %(reason)s::text[],
            %(error_class)s::text[], %(transient)s::boolean[], %(away_from)s::text[])
     AS u (mention_id, competitor, reason, error_class, transient, away_from)
LEFT JOIN outages o ON o.service = u.away_from;
