-- Remove the mentions of a call that are not found any more.
DELETE FROM mentions WHERE call_id = %(call_id)s AND NOT (mention_id = ANY(%(mention_ids)s::text[]));
