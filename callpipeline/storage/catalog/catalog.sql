-- name: lock
-- Serialize changes of the catalog until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('callpipeline.catalog'));

-- name: current
-- Return the change in force.
SELECT * FROM catalog_changes ORDER BY change_id DESC LIMIT 1;

-- name: history
-- Return the changes, newest first.
SELECT * FROM catalog_changes ORDER BY change_id DESC LIMIT %(limit)s;

-- name: content
-- Return the content of a version.
SELECT content FROM catalog_versions WHERE version = %(version)s;

-- name: find
-- Return the versions with this beginning that were in force at some time, and version N as `N`.
SELECT DISTINCT version FROM catalog_changes
WHERE starts_with(version, %(beginning)s) OR change_id::text = %(beginning)s
ORDER BY version LIMIT 5;

-- name: insert_version
-- Save a version of the catalog; versions are never changed.
INSERT INTO catalog_versions (version, content) VALUES (%(version)s, %(content)s)
ON CONFLICT DO NOTHING;

-- name: insert_change
-- Put a version in force.
INSERT INTO catalog_changes (version, parent, origin, made_by, note)
VALUES (%(version)s, %(parent)s, %(origin)s, %(made_by)s, %(note)s)
RETURNING *;

-- name: file
-- Return what was last read from a file.
SELECT * FROM catalog_files WHERE path = %(path)s;

-- name: files
-- Return what was last read from all files.
SELECT * FROM catalog_files ORDER BY path;

-- name: save_file
-- Record what was read from a file; a refused content keeps the version imported before it.
INSERT INTO catalog_files (path, sha256, version, problem, warnings)
VALUES (%(path)s, %(sha256)s, %(version)s, %(problem)s, %(warnings)s)
ON CONFLICT (path) DO UPDATE SET
    sha256 = excluded.sha256, version = coalesce(excluded.version, catalog_files.version),
    problem = excluded.problem, warnings = excluded.warnings, seen_at = clock_timestamp();
