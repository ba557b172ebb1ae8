-- Delete what was said in a call, also where a verdict quotes it; what was found is kept.
WITH said AS (DELETE FROM segments WHERE call_id = %(call_id)s),
unheard AS (
    -- Nothing is left to judge them by.
    UPDATE unjudged SET not_before = NULL, transient = false, error_class = 'MissingObject',
        reason = 'What was said was deleted, when its time was over.', updated_at = now()
    WHERE call_id = %(call_id)s
), quoted AS (
    -- The name of the rule stays, by which switching is told.
    UPDATE sentiment SET quote = '', rule = regexp_replace(rule, ':.*$', ':')
    WHERE call_id = %(call_id)s
)
-- That a person decided quotes nothing.
UPDATE mentions SET reason = CASE WHEN found_status IS NULL THEN '' ELSE reason END,
    found_reason = CASE WHEN found_status IS NOT NULL THEN '' END
WHERE call_id = %(call_id)s;
