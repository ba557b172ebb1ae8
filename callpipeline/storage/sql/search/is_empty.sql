-- Whether nothing is left to look for: words that are in every other sentence are not looked for.
SELECT numnode(websearch_to_tsquery('english', %(words)s)) = 0 AS is_empty;
