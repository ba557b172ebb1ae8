-- Whether an object is a transcript of a call: those of erased calls are no more, at once.
SELECT EXISTS (
    SELECT FROM transcripts WHERE call_id = %(call_id)s AND object_key = %(key)s) AS is_one;
