-- Enter recordings that the ledger does not have; says of each whether it is new.
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, agent_channel, sha256)
VALUES (%(call_id)s, %(bucket)s, %(key)s, %(etag)s, %(size_bytes)s, %(last_modified)s,
        %(agent_channel)s, %(sha256)s)
ON CONFLICT (call_id) DO UPDATE SET sha256 = coalesce(calls.sha256, excluded.sha256)
RETURNING call_id, xmax = 0 AS is_new;
