-- name: find_key
-- Find a key by its public id, with the digest of its secret.
SELECT key_id, name, scopes, created_at, created_by, expires_at, last_used_at, revoked_at,
       revoked_by, secret_sha256
FROM api_keys WHERE key_id = %(key_id)s;

-- name: add_key
-- Add a key. Repeating the statement has no further effect.
INSERT INTO api_keys (key_id, name, secret_sha256, scopes, created_by, expires_at)
VALUES (%(key_id)s, %(name)s, %(digest)s, %(scopes)s, %(created_by)s, %(expires_at)s)
ON CONFLICT (key_id) DO NOTHING
RETURNING key_id;

-- name: list_keys
-- List every key, including revoked ones, newest first.
SELECT key_id, name, scopes, created_at, created_by, expires_at, last_used_at, revoked_at,
       revoked_by
FROM api_keys ORDER BY created_at DESC, key_id;

-- name: revoke_key
-- Revoke a key. A key that was revoked before keeps its time.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()),
                    revoked_by = coalesce(revoked_by, %(by)s)
WHERE key_id = %(key_id)s
RETURNING key_id;

-- name: touch_key
-- Record that a key was used, at most once a minute.
UPDATE api_keys SET last_used_at = now()
WHERE key_id = %(key_id)s
  AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
RETURNING key_id;

-- name: create_session
-- Create a session and delete expired ones.
WITH expired AS (
    DELETE FROM web_sessions WHERE expires_at <= now()
)
INSERT INTO web_sessions (session_sha256, user_name, password_mark, expires_at)
VALUES (%(digest)s, %(user_name)s, %(mark)s, now() + %(lifetime_s)s * interval '1 second')
ON CONFLICT (session_sha256) DO NOTHING
RETURNING user_name;

-- name: delete_session
-- Delete a session at logout.
DELETE FROM web_sessions WHERE session_sha256 = %(digest)s RETURNING user_name;

-- name: find_session
-- Find a valid session and record that it was used, at most once a minute.
WITH valid AS (
    SELECT session_sha256, user_name, password_mark, seen_at FROM web_sessions
    WHERE session_sha256 = %(digest)s AND expires_at > now()
      AND seen_at > now() - %(idle_s)s * interval '1 second'
), touched AS (
    UPDATE web_sessions w SET seen_at = now() FROM valid
    WHERE w.session_sha256 = valid.session_sha256
      AND valid.seen_at < now() - least(60, %(idle_s)s / 4) * interval '1 second'
)
SELECT user_name, password_mark FROM valid;

-- name: claim_request
-- Claim the key of a request and return what is recorded for it. The claim succeeds if the
-- returned holder is the caller: the key is new, or its last holder's claim has expired without
-- an answer.
INSERT INTO idempotent_requests AS existing (key_hash, fingerprint, holder, held_until)
VALUES (%(key_hash)s, %(fingerprint)s, %(holder)s, now() + %(lease_s)s * interval '1 second')
ON CONFLICT (key_hash) DO UPDATE SET
    (holder, held_until) = (
        SELECT CASE WHEN is_free THEN excluded.holder ELSE existing.holder END,
               CASE WHEN is_free THEN excluded.held_until ELSE existing.held_until END
        FROM (SELECT existing.fingerprint = excluded.fingerprint AND existing.answer IS NULL
                     AND existing.held_until <= clock_timestamp() AS is_free) AS state)
RETURNING fingerprint, holder, answer;

-- name: delete_expired_requests
-- Delete keys that are older than two days, a few at a time.
DELETE FROM idempotent_requests WHERE key_hash IN (
    SELECT key_hash FROM idempotent_requests WHERE begun_at < now() - interval '48 hours'
    LIMIT 100 FOR UPDATE SKIP LOCKED);

-- name: release_request
-- Release the key of a request that failed, so that it can be sent again.
DELETE FROM idempotent_requests
WHERE key_hash = %(key_hash)s AND holder = %(holder)s AND answer IS NULL
RETURNING key_hash;

-- name: save_answer
-- Save the answer to a request and return it, or the answer that was saved before.
UPDATE idempotent_requests SET answer = coalesce(answer, %(answer)s)
WHERE key_hash = %(key_hash)s AND fingerprint = %(fingerprint)s
RETURNING answer;

-- name: add_audit
-- Add entries of the audit log that are not there yet.
INSERT INTO audit_log (entry_id, at, action, actor, method, address, what, target)
SELECT entry_id, at, action, actor, method, address, what, target
FROM jsonb_to_recordset(%(entries)s) AS given (
    entry_id uuid, at timestamptz, action text, actor text, method text, address text, what text,
    target text)
ON CONFLICT (entry_id) DO NOTHING RETURNING entry_id;

-- name: list_audit
-- List entries of the audit log before a time, or after an entry of that time, newest first.
SELECT entry_id::text, at, action, actor, method, address, what, target FROM audit_log
WHERE (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(target)s::text IS NULL OR target = %(target)s)
  AND (%(before)s::timestamptz IS NULL OR at < %(before)s
       OR at = %(before)s AND entry_id > %(after_id)s::uuid)
ORDER BY at DESC, entry_id LIMIT %(limit)s;
