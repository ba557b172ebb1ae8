-- Remember of which bytes a call is made, once they were read.
UPDATE calls SET sha256 = %(sha256)s
WHERE call_id = %(call_id)s AND sha256 IS NULL AND %(sha256)s <> '';
