-- From where a recording is to be fetched, and whether it was already.
SELECT a.url, a.fetched_at FROM announced a JOIN calls c USING (call_id)
WHERE c.bucket = %(bucket)s AND c.key = %(key)s;
