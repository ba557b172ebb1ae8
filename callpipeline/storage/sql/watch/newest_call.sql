-- When a recording was entered the last time; null where there never was one.
SELECT max(created_at) AS created_at FROM calls;
