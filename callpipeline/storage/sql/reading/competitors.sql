-- The names of all competitors that were named in calls, each looked up in the index.
WITH RECURSIVE known AS (
    (SELECT competitor FROM reading_mentions ORDER BY competitor LIMIT 1)
    UNION ALL
    SELECT (SELECT m.competitor FROM reading_mentions m WHERE m.competitor > known.competitor
            ORDER BY m.competitor LIMIT 1)
    FROM known WHERE known.competitor IS NOT NULL
)
SELECT competitor FROM known WHERE competitor IS NOT NULL;
