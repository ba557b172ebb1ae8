-- The call of an object.
SELECT call_id, duplicate_of FROM calls
WHERE bucket = %(bucket)s AND key = %(key)s AND etag = %(etag)s;
