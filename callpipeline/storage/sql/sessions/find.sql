-- A session that holds still; that it was used is written down once a minute.
WITH alive AS (
    SELECT session_sha256, user_name, password_mark, seen_at FROM web_sessions
    WHERE session_sha256 = %(digest)s AND expires_at > now()
      AND seen_at > now() - %(idle_s)s * interval '1 second'
), seen AS (
    UPDATE web_sessions w SET seen_at = now() FROM alive
    WHERE w.session_sha256 = alive.session_sha256
      AND alive.seen_at < now() - least(60, %(idle_s)s / 4) * interval '1 second'
)
SELECT user_name, password_mark FROM alive;
