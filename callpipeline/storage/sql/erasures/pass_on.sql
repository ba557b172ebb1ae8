-- Bytes of tombstones that do not keep them out pass to the oldest other call of the same, or to
-- nobody.
WITH given AS (
    SELECT k.sha256, (SELECT c.call_id FROM calls c
                      WHERE c.sha256 = k.sha256 AND c.state NOT IN ('ERASED', 'DUPLICATE')
                      ORDER BY c.created_at, c.call_id LIMIT 1) AS heir
    FROM contents k JOIN calls e USING (call_id)
    WHERE e.call_id = ANY(%(call_ids)s) AND e.sha256 IS NULL
), passed AS (
    UPDATE contents k SET call_id = given.heir FROM given
    WHERE k.sha256 = given.sha256 AND given.heir IS NOT NULL
)
DELETE FROM contents k USING given WHERE k.sha256 = given.sha256 AND given.heir IS NULL;
