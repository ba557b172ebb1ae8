-- Which of these objects the ledger has already, or had before they were erased. One by one: a join reads the whole bucket's rows.
SELECT found.key, found.etag
FROM unnest(%(keys)s::text[], %(etags)s::text[], %(call_ids)s::text[])
     AS found (key, etag, call_id)
CROSS JOIN LATERAL (
    SELECT FROM calls c
    WHERE c.bucket = %(bucket)s AND c.key = found.key AND c.etag = found.etag
    UNION ALL
    SELECT FROM calls c
    WHERE c.state = 'ERASED' AND right(c.call_id, 12) = right(found.call_id, 12)
    LIMIT 1
) AS known;
