-- Let nobody else decide meanwhile whose these bytes are, or those of a call. What is asked next
-- sees what was decided before.
SELECT call_id FROM contents
WHERE sha256 = %(sha256)s OR call_id = %(call_id)s ORDER BY sha256 FOR UPDATE;
