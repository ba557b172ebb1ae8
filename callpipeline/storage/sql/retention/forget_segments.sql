-- Delete what was said in a call; how much, and how sure the recogniser was, is kept.
DELETE FROM segments WHERE call_id = %(call_id)s;
