-- name: announce
-- Store the URL from which the recording of a call is downloaded.
INSERT INTO announced (call_id, identity, url) VALUES (%(call_id)s, %(identity)s, %(url)s);

-- name: find_announced
-- Return the URL of a recording, and when it was downloaded.
SELECT a.url, a.fetched_at FROM announced a JOIN calls c USING (call_id)
WHERE c.bucket = %(bucket)s AND c.key = %(key)s;

-- name: delete_old_urls
-- Delete URLs of calls that ended before a time without a download.
UPDATE announced a SET url = NULL FROM calls c
WHERE c.call_id = a.call_id AND a.url IS NOT NULL
  AND c.state NOT IN ('PENDING', 'PROCESSING') AND c.completed_at < %(older_than)s
RETURNING a.call_id;

-- name: lock_announced_call
-- Lock the call against erasure while its recording is stored.
SELECT a.call_id FROM announced a JOIN calls c USING (call_id)
WHERE c.bucket = %(bucket)s AND c.key = %(key)s FOR UPDATE OF a;

-- name: mark_stored
-- Delete the URL of a recording that is stored, and record the time of the download.
UPDATE announced a SET url = NULL, fetched_at = coalesce(a.fetched_at, now()) FROM calls c
WHERE c.call_id = a.call_id AND c.bucket = %(bucket)s AND c.key = %(key)s AND a.url IS NOT NULL;

-- name: find_announcement
-- Return the call of an earlier announcement with the same identity, or its tombstone. Without an
-- idempotency key, only an announcement whose download is still pending counts.
SELECT a.call_id FROM announced a JOIN calls c USING (call_id)
WHERE a.identity = %(identity)s
  AND (%(is_keyed)s OR a.url IS NOT NULL AND c.state IN ('PENDING', 'PROCESSING'))
UNION ALL
SELECT call_id FROM calls
WHERE state = 'ERASED' AND right(call_id, 12) = right(%(call_id)s, 12)
LIMIT 1;

-- name: lock_announcement
-- Lock the identity of an announcement until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(identity)s, 0));

-- name: set_size
-- Record the size of a recording, which is unknown until it is downloaded.
UPDATE calls SET size_bytes = %(size_bytes)s
WHERE bucket = %(bucket)s AND key = %(key)s AND size_bytes <> %(size_bytes)s
RETURNING call_id;

-- name: start_discovery
-- Start the discovery of a source from the beginning, under a new token.
INSERT INTO discovery (source, token, position) VALUES (%(source)s, %(token)s, '{}')
ON CONFLICT (source) DO UPDATE SET
    token = excluded.token, position = excluded.position, updated_at = now()
RETURNING source;

-- name: find_position
-- Return the position of a token in the discovery of a source.
SELECT position FROM discovery WHERE source = %(source)s AND token = %(token)s;

-- name: save_position
-- Save the position of a token, unless the token was replaced in the meantime.
UPDATE discovery SET position = %(position)s, updated_at = now()
WHERE source = %(source)s AND token = %(token)s
RETURNING source;

-- name: save_scan
-- Record a scan of a source. Counts stay if it listed nothing, because nothing was due or it failed.
INSERT INTO source_scans AS known (source, scanned_at, listed_at, swept_at, found_at, listed, skipped,
                                   unsettled, unreadable, failure)
SELECT %(source)s, at, CASE WHEN %(listed)s > 0 THEN at END, CASE WHEN %(swept)s THEN at END,
       CASE WHEN %(found)s > 0 THEN at END, %(listed)s, %(skipped)s, %(unsettled)s, %(unreadable)s,
       %(failure)s
FROM (SELECT clock_timestamp() AS at) AS now
ON CONFLICT (source) DO UPDATE SET
    scanned_at = excluded.scanned_at,
    listed_at = coalesce(excluded.listed_at, known.listed_at),
    swept_at = coalesce(excluded.swept_at, known.swept_at),
    found_at = coalesce(excluded.found_at, known.found_at),
    (listed, skipped, unsettled, unreadable) = (
        SELECT CASE WHEN is_new THEN excluded.listed ELSE known.listed END,
               CASE WHEN is_new THEN excluded.skipped ELSE known.skipped END,
               CASE WHEN is_new THEN excluded.unsettled ELSE known.unsettled END,
               CASE WHEN is_new THEN excluded.unreadable ELSE known.unreadable END
        FROM (SELECT excluded.listed_at IS NOT NULL OR excluded.swept_at IS NOT NULL
                     AS is_new) AS counted),
    failure = excluded.failure
RETURNING source;

-- name: list_scans
-- List the last scan of each source.
SELECT * FROM source_scans ORDER BY source;
