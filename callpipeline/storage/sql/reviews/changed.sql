-- A complete call has changed, by which its day is counted anew. One under way changes when it ends.
UPDATE calls SET updated_at = now() WHERE call_id = %(call_id)s AND state = 'COMPLETED';
