-- Note mentions that could not be judged. What another try may cure waits for it.
INSERT INTO unjudged (call_id, mention_id, competitor, reason, error_class, transient, not_before)
SELECT %(call_id)s, u.mention_id, u.competitor, u.reason, u.error_class, u.transient,
       CASE WHEN u.transient THEN now() + %(wait_s)s * interval '1 second' END
FROM unnest(%(mention_id)s::text[], %(competitor)s::text[], %(reason)s::text[],
            %(error_class)s::text[], %(transient)s::boolean[])
     AS u (mention_id, competitor, reason, error_class, transient);
