-- When something of a call was deleted since it was last stored, if it was.
SELECT max(d.at) AS at FROM deletions d
WHERE d.call_id = %(call_id)s AND d.what = %(what)s
  AND d.at >= coalesce((SELECT s.stored_at FROM call_stages s
                        WHERE s.call_id = d.call_id AND s.stage = d.what), '-infinity');
