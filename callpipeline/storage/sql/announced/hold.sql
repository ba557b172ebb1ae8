-- Let nobody erase the call while its recording is put where it is kept.
SELECT a.call_id FROM announced a JOIN calls c USING (call_id)
WHERE c.bucket = %(bucket)s AND c.key = %(key)s FOR UPDATE OF a;
