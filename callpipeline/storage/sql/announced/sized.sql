-- Note how large a recording is, which nobody knew when it was announced.
UPDATE calls SET size_bytes = %(size_bytes)s
WHERE bucket = %(bucket)s AND key = %(key)s AND size_bytes <> %(size_bytes)s
RETURNING call_id;
