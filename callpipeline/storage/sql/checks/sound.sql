-- Recordings that were taken apart since a time, those with a flag that is wrong, those with one
-- that takes away what was said or who said it, how many have each flag, and the newest of them.
WITH split AS (
    SELECT s.call_id, s.stored_at,
           ARRAY(SELECT DISTINCT f ->> 'flag' FROM jsonb_array_elements(r.flags) AS f ORDER BY 1)
               AS flags
    FROM call_stages s JOIN recordings r USING (call_id)
    WHERE s.stage = 'channel_audio' AND s.stored_at >= %(since)s
)
SELECT count(*) AS looked, count(*) FILTER (WHERE flags && %(wrong)s::text[]) AS found,
       count(*) FILTER (WHERE flags && %(grave)s::text[]) AS grave,
       (SELECT coalesce(jsonb_object_agg(flag, calls), '{}')
        FROM (SELECT flag, count(*) AS calls FROM split, unnest(flags) AS flag GROUP BY flag) AS f)
           AS flags,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id), '[]')
        FROM (SELECT * FROM split WHERE flags && %(wrong)s::text[]
              ORDER BY stored_at DESC, call_id LIMIT %(most)s) AS n) AS newest
FROM split;
