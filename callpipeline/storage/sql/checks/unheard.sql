-- How many names the competitor list in use has (that by which a call was judged last), how many
-- calls were completed of those that came in since a time, and the names that none of these calls
-- holds although the list has had them all that time, by when they were heard last.
WITH entries AS (
    SELECT DISTINCT entry
    FROM catalog_versions, jsonb_array_elements(content -> 'competitors') AS e (entry)
    WHERE version = (SELECT catalog_version FROM call_stages
                     WHERE stage = 'competitor_mentions' ORDER BY stored_at DESC LIMIT 1)
), known AS (
    -- An entry that was changed is new: its aliases may have been mended.
    SELECT entry, min(created_at) AS since
    FROM catalog_versions, jsonb_array_elements(content -> 'competitors') AS e (entry)
    GROUP BY entry
), heard AS (
    SELECT DISTINCT m.competitor AS name FROM calls c JOIN mentions m USING (call_id)
    WHERE c.created_at >= %(month_ago)s AND m.status = 'accepted'
), unheard AS (
    SELECT entry ->> 'name' AS name, since,
           (SELECT max(c.created_at) FROM mentions m JOIN calls c USING (call_id)
            WHERE m.competitor = entry ->> 'name' AND m.status = 'accepted') AS heard_at
    FROM entries JOIN known USING (entry)
    WHERE since <= %(month_ago)s AND entry ->> 'name' NOT IN (SELECT name FROM heard)
)
SELECT (SELECT count(*) FROM entries) AS looked, count(*) AS found,
       (SELECT count(*) FROM calls
        WHERE created_at >= %(month_ago)s AND state = 'COMPLETED') AS calls,
       coalesce(jsonb_agg(u ORDER BY u.heard_at DESC NULLS LAST, u.name), '[]') AS names
FROM unheard AS u;
