-- Every decision about the mentions of a call, or about one of them, the newest first.
SELECT * FROM reviews
WHERE call_id = %(call_id)s AND (%(mention_id)s::text IS NULL OR mention_id = %(mention_id)s)
ORDER BY review_id DESC;
