-- Note what a person decided about a mention that is there.
INSERT INTO reviews (call_id, mention_id, start_s, decision, decided_by)
SELECT call_id, mention_id, start_s, %(decision)s, %(by)s
FROM mentions WHERE call_id = %(call_id)s AND mention_id = %(mention_id)s
RETURNING *;
