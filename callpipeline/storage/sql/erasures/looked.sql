-- What came of a look: what is in its way, or that it is finished. Where the recording was nobody
-- needs to know any more when it is gone.
UPDATE erasures SET
    looked_at = now(), trouble = %(trouble)s,
    bucket = CASE WHEN %(objects_gone)s THEN NULL ELSE bucket END,
    key = CASE WHEN %(objects_gone)s THEN NULL ELSE key END,
    etag = CASE WHEN %(objects_gone)s THEN NULL ELSE etag END,
    verified_at = CASE WHEN %(finished)s THEN now() END
WHERE call_id = %(call_id)s AND verified_at IS NULL
RETURNING call_id;
