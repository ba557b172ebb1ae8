-- When the last digest was written; null where there never was one.
SELECT max(occurred_at) AS at FROM outbox
WHERE group_key LIKE 'daily_digest:%%' AND kind = 'daily_digest';
