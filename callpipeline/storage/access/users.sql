-- name: list
-- List the users of the database by name.
SELECT user_name, role, is_enabled, made_by, made_at, changed_by, changed_at
FROM web_users ORDER BY user_name;

-- name: find
-- Find a user, with the hash of the password.
SELECT user_name, role, is_enabled, made_by, made_at, changed_by, changed_at, password_hash
FROM web_users WHERE user_name = %(name)s;

-- name: lock
-- Keep other changes of users waiting until the transaction ends: of two admins who remove each
-- other, the second one must see that the first is gone.
LOCK TABLE web_users IN SHARE ROW EXCLUSIVE MODE;

-- name: add
-- Add a user whose name is not taken.
INSERT INTO web_users (user_name, role, password_hash, made_by, changed_by)
VALUES (%(name)s, %(role)s, %(password_hash)s, %(by)s, %(by)s)
ON CONFLICT (user_name) DO NOTHING RETURNING user_name;

-- name: change
-- Change the role, the password or the state of a user; null keeps it.
UPDATE web_users SET role = coalesce(%(role)s, role),
                     password_hash = coalesce(%(password_hash)s, password_hash),
                     is_enabled = coalesce(%(is_enabled)s, is_enabled),
                     changed_by = %(by)s, changed_at = now()
WHERE user_name = %(name)s RETURNING user_name;

-- name: remove
-- Delete a user.
DELETE FROM web_users WHERE user_name = %(name)s RETURNING user_name;

-- name: end_sessions
-- Delete the sessions of a user.
DELETE FROM web_sessions WHERE user_name = %(name)s;

-- name: admins
-- List the users who can log in as admins.
SELECT user_name FROM web_users WHERE role = 'admin' AND is_enabled;
