-- Mentions that could not be judged again: the next try was set when they were taken. It is dropped
-- where another try cannot help, or where there were enough. Where a service is away the try does not
-- count, for as long as patience allows, and the next is due when the service is tried.
UPDATE unjudged u SET
    reason = n.reason, error_class = n.error_class, transient = n.transient, updated_at = now(),
    tries = CASE WHEN n.waits THEN u.tries - 1 ELSE u.tries END,
    not_before = CASE WHEN n.waits
                          THEN coalesce((SELECT again_at FROM outages WHERE service = n.away_from), now())
                      WHEN n.transient AND u.tries <= %(most)s THEN u.not_before END,
    away_from = CASE WHEN n.waits THEN n.away_from END,
    away_since = CASE WHEN n.away_from IS NOT NULL THEN coalesce(u.away_since, now()) END
FROM (SELECT m.*, m.away_from IS NOT NULL AND coalesce(now() - o.away_since, interval '0')
                  < %(patience_s)s * interval '1 second' AS waits
      FROM unnest(%(mention_id)s::text[], %(reason)s::text[], %(error_class)s::text[],
                  %(transient)s::boolean[], %(away_from)s::text[])
           AS m (mention_id, reason, error_class, transient, away_from)
      JOIN unjudged o ON o.call_id = %(call_id)s AND o.mention_id = m.mention_id) AS n
WHERE u.call_id = %(call_id)s AND u.mention_id = n.mention_id AND u.asked_by = %(run_id)s;
