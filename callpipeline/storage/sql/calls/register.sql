-- Enter recordings; what is not returned the ledger has already, or had before it was erased.
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, agent_channel, sha256,
                   started_at, metadata, lane, priority, duplicates)
SELECT new.* FROM unnest(
    %(call_id)s::text[], %(bucket)s::text[], %(key)s::text[], %(etag)s::text[],
    %(size_bytes)s::bigint[], %(last_modified)s::timestamptz[], %(agent_channel)s::text[],
    %(sha256)s::text[], %(started_at)s::timestamptz[], %(metadata)s::jsonb[], %(lane)s::text[],
    %(priority)s::smallint[], %(duplicates)s::text[]) AS new (call_id)
WHERE NOT EXISTS (SELECT FROM calls e
                  WHERE e.state = 'ERASED' AND right(e.call_id, 12) = right(new.call_id, 12))
-- On any key: an object that was touched on another day has a new id but is the same object.
ON CONFLICT DO NOTHING
RETURNING call_id;
