-- name: columns
-- Columns of a view, from saved_views v and its weekly_reports r.
    v.view_id, v.name, v.page, v.filters, v.extras, v.days, v.is_shared, v.owner, v.made_by,
    v.made_at, r.weekday, r.at, r.has_quotes, r.set_by, r.set_at, r.reported_on

-- name: list
-- List a visitor's views and those that are shared, by name.
SELECT
    -- include saved_views/columns
FROM saved_views v LEFT JOIN weekly_reports r USING (view_id)
WHERE v.owner = %(visitor)s OR v.is_shared
ORDER BY lower(v.name), v.view_id;

-- name: find
-- Select a view that a visitor may see.
SELECT
    -- include saved_views/columns
FROM saved_views v LEFT JOIN weekly_reports r USING (view_id)
WHERE v.view_id = %(view_id)s AND (v.owner = %(visitor)s OR v.is_shared);

-- name: with_report
-- List the shared views with a weekly report.
SELECT
    -- include saved_views/columns
FROM saved_views v JOIN weekly_reports r USING (view_id) WHERE v.is_shared ORDER BY v.view_id;

-- name: schedule
-- Set when the report of a shared view is sent. Another hour does not repeat a report.
INSERT INTO weekly_reports (view_id, weekday, at, has_quotes, set_by)
SELECT view_id, %(weekday)s, %(at)s, %(has_quotes)s, %(by)s FROM saved_views
WHERE view_id = %(view_id)s AND is_shared FOR KEY SHARE
ON CONFLICT (view_id) DO UPDATE SET
    weekday = excluded.weekday, at = excluded.at, has_quotes = excluded.has_quotes,
    set_by = excluded.set_by, set_at = now()
RETURNING view_id;

-- name: unschedule
-- Send no reports of a view any more.
DELETE FROM weekly_reports WHERE view_id = %(view_id)s RETURNING view_id;

-- name: take_report
-- Record that the report of a day is sent, unless another process did, or the schedule is gone.
UPDATE weekly_reports r SET reported_on = %(day)s
FROM saved_views v
WHERE r.view_id = %(view_id)s AND v.view_id = r.view_id AND v.is_shared
  AND (r.reported_on IS NULL OR r.reported_on < %(day)s)
RETURNING r.view_id;

-- name: lock_owner
-- Let an owner's views be saved one after another: a statement counts those that it began with.
SELECT pg_advisory_xact_lock(hashtext('saved_views ' || %(owner)s));

-- name: add
-- Save a view, unless its owner has too many or one of this name.
INSERT INTO saved_views (name, page, filters, extras, days, is_shared, owner, made_by)
SELECT %(name)s, %(page)s, %(filters)s, %(extras)s, %(days)s, %(is_shared)s, %(owner)s, %(made_by)s
WHERE (SELECT count(*) FROM saved_views WHERE owner = %(owner)s) < %(limit)s
ON CONFLICT DO NOTHING
RETURNING view_id, made_at;

-- name: change
-- Rename a view, or share it or not. Admins may change those that others share. The report of a
-- view that is not shared any more is not sent. Select the view as it is then.
WITH private AS (DELETE FROM weekly_reports WHERE view_id IN (
    SELECT view_id FROM saved_views
    WHERE view_id = %(view_id)s AND (owner = %(visitor)s OR is_shared AND %(is_admin)s)
      AND NOT coalesce(%(is_shared)s, is_shared))),
changed AS (
    UPDATE saved_views
    SET name = coalesce(%(name)s, name), is_shared = coalesce(%(is_shared)s, is_shared)
    WHERE view_id = %(view_id)s AND (owner = %(visitor)s OR is_shared AND %(is_admin)s)
    RETURNING *)
SELECT
    -- include saved_views/columns
FROM changed v LEFT JOIN weekly_reports r ON r.view_id = v.view_id AND v.is_shared;

-- name: delete
-- Delete a view. Admins may delete those that others share.
DELETE FROM saved_views
WHERE view_id = %(view_id)s AND (owner = %(visitor)s OR is_shared AND %(is_admin)s)
RETURNING view_id;

-- name: delete_private
-- Delete the views that only their owner sees.
DELETE FROM saved_views WHERE owner = %(owner)s AND NOT is_shared;

-- name: disown_shared
-- Leave the shared views of an owner without one; admins can still change and delete them.
UPDATE saved_views SET owner = 'removed:' || view_id WHERE owner = %(owner)s AND is_shared;

-- name: texts
-- List what people wrote in views, and the titles of reports, which have the names of views.
SELECT view_id, NULL AS event_id, name, owner,
       concat_ws(' ', name, filters ->> 'name', extras::text) AS text
FROM saved_views
UNION ALL
SELECT NULL, event_id::text, title, '', title FROM outbox WHERE kind = 'weekly_report'
ORDER BY view_id, event_id;

-- name: forget
-- Delete views of any owner.
DELETE FROM saved_views WHERE view_id = ANY(%(view_ids)s) RETURNING view_id;
