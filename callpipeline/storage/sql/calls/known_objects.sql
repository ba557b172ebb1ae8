-- Which of these objects the ledger has already.
SELECT c.key, c.etag
FROM calls c JOIN unnest(%(keys)s::text[], %(etags)s::text[]) AS found (key, etag)
     ON c.bucket = %(bucket)s AND c.key = found.key AND c.etag = found.etag;
