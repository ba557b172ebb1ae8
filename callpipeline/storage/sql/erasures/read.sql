-- Note the bytes of an erased call, so that they do not come in again.
WITH known AS (
    UPDATE calls SET sha256 = %(sha256)s WHERE call_id = %(call_id)s AND state = 'ERASED'
), noted AS (
    UPDATE erasures SET is_unread = false WHERE call_id = %(call_id)s
)
INSERT INTO contents (sha256, call_id) VALUES (%(sha256)s, %(call_id)s)
ON CONFLICT (sha256) DO UPDATE SET call_id = excluded.call_id;
