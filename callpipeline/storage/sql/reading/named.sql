-- How many mentions Filters let through, and in how many calls.
SELECT coalesce(sum(each.mentions), 0)::bigint AS mentions, count(*) AS calls_with_mention
FROM (SELECT count(*) AS mentions FROM reading_mentions m WHERE
    -- include reading/mentions_wanted
      GROUP BY m.call_id) AS each;
