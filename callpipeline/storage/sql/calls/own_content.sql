-- Note the bytes of a call; returns whose they are, which is the call that had them first, and
-- whether that one was erased: then nobody else may have them. They pass to whoever brings them
-- next when that call failed for what another copy may not share. Asked under the lock of
-- lock_content, else the state of that call is an old one.
WITH noted AS (
    UPDATE calls SET sha256 = %(sha256)s WHERE call_id = %(call_id)s
), owner AS (
    INSERT INTO contents AS known (sha256, call_id) VALUES (%(sha256)s, %(call_id)s)
    ON CONFLICT (sha256) DO UPDATE SET call_id =
        CASE WHEN EXISTS (SELECT FROM calls c WHERE c.call_id = known.call_id
                          AND c.state = 'FAILED'
                          AND (c.error_transient OR c.error_class = 'MissingObject'))
             THEN excluded.call_id ELSE known.call_id END
    RETURNING call_id
)
SELECT owner.call_id, coalesce(c.state = 'ERASED', false) AS is_erased
FROM owner LEFT JOIN calls c USING (call_id);
