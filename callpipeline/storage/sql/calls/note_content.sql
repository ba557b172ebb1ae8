-- Remember of which bytes a call is made that was entered without looking at them.
UPDATE calls SET sha256 = %(sha256)s
WHERE bucket = %(bucket)s AND key = %(key)s AND etag = %(etag)s AND sha256 IS NULL
RETURNING call_id;
