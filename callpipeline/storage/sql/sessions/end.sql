-- Somebody has logged out.
DELETE FROM web_sessions WHERE session_sha256 = %(digest)s RETURNING user_name;
