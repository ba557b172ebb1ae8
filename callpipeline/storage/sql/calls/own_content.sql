-- Note the bytes of a call; returns whose they are, which is the call that had them first.
-- What an erased call or one that failed was made of belongs to whoever brings it next.
WITH noted AS (
    UPDATE calls SET sha256 = %(sha256)s WHERE call_id = %(call_id)s
)
INSERT INTO contents AS known (sha256, call_id) VALUES (%(sha256)s, %(call_id)s)
ON CONFLICT (sha256) DO UPDATE SET call_id =
    CASE WHEN EXISTS (SELECT FROM calls c WHERE c.call_id = known.call_id
                      AND c.state IN ('ERASED', 'FAILED'))
         THEN excluded.call_id ELSE known.call_id END
RETURNING call_id;
