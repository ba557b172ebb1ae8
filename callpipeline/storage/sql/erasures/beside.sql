-- Whether another call has the same object, or one whose transcript would lie in the same place.
SELECT EXISTS (
    SELECT FROM calls c
    WHERE regexp_replace(c.key, '\.[^./]*$', '') = regexp_replace(%(key)s, '\.[^./]*$', '')
      AND c.bucket = %(bucket)s AND c.call_id <> %(call_id)s AND c.state <> 'ERASED'
) AS is_shared;
