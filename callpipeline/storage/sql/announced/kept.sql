-- The recording is kept: nobody needs to know its address any more.
UPDATE announced a SET url = NULL, fetched_at = coalesce(a.fetched_at, now()) FROM calls c
WHERE c.call_id = a.call_id AND c.bucket = %(bucket)s AND c.key = %(key)s AND a.url IS NOT NULL;
