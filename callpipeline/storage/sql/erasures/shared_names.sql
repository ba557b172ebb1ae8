-- Which of these names and keys other calls have too.
SELECT n.name FROM unnest(%(names)s::text[]) AS n (name)
WHERE EXISTS (SELECT FROM calls c
              WHERE regexp_replace(c.key, '^.*/', '') = regexp_replace(n.name, '^.*/', '')
                AND (c.key = n.name OR strpos(n.name, '/') = 0));
