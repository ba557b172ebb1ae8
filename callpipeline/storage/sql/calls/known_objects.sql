-- Which of these objects the ledger has already. One by one: a join reads the whole bucket's rows.
SELECT found.key, found.etag
FROM unnest(%(keys)s::text[], %(etags)s::text[]) AS found (key, etag)
CROSS JOIN LATERAL (
    SELECT FROM calls c
    WHERE c.bucket = %(bucket)s AND c.key = found.key AND c.etag = found.etag LIMIT 1
) AS known;
