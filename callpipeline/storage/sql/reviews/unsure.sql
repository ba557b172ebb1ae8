-- Mentions of complete calls that wait for a person, of the newest calls first, in each in order of
-- time, with what was said; those behind a place in this order. Words are read of those shown alone.
WITH shown AS MATERIALIZED (
    SELECT m.*, coalesce(c.started_at, c.last_modified) AS took_place_at,
           c.metadata ->> 'agent' AS agent
    FROM mentions m JOIN calls c USING (call_id)
    WHERE m.status = 'unsure' AND c.state = 'COMPLETED'
      AND (%(competitor)s::text IS NULL OR m.competitor = %(competitor)s)
      AND (%(call_id)s::text IS NULL
           OR (coalesce(c.started_at, c.last_modified), c.call_id)
              < (%(took_place_at)s::timestamptz, %(call_id)s)
           OR c.call_id = %(call_id)s AND (m.start_s, m.mention_id) > (%(start_s)s, %(mention_id)s))
    ORDER BY took_place_at DESC, m.call_id DESC, m.start_s, m.mention_id
    LIMIT %(limit)s
)
SELECT shown.*, s.text
FROM shown LEFT JOIN segments s USING (call_id, channel, segment_index)
ORDER BY took_place_at DESC, shown.call_id DESC, shown.start_s, shown.mention_id;
