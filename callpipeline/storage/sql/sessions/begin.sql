-- Somebody has logged in. Sessions that are over go with it.
WITH over AS (
    DELETE FROM web_sessions WHERE expires_at <= now()
)
INSERT INTO web_sessions (session_sha256, user_name, password_mark, expires_at)
VALUES (%(digest)s, %(user_name)s, %(mark)s, now() + %(lifetime_s)s * interval '1 second')
ON CONFLICT (session_sha256) DO NOTHING
RETURNING user_name;
