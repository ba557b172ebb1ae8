-- Enter a recording that the ledger does not have; without a row it has it already.
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, agent_channel, sha256)
VALUES (%(call_id)s, %(bucket)s, %(key)s, %(etag)s, %(size_bytes)s, %(last_modified)s,
        %(agent_channel)s, %(sha256)s)
-- On any key: an object that was touched on another day has a new id but is the same object.
ON CONFLICT DO NOTHING
RETURNING call_id;
