-- The call that a decision is about.
SELECT call_id FROM reviews WHERE review_id = %(review_id)s;
