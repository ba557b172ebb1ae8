-- Tell of the mentions of a call that were given up in this transaction, once.
INSERT INTO outbox (kind, severity, group_key, subject, title, message, call_id, run_id, stage,
                    error_class, error_message, metadata)
SELECT 'mentions_unjudged', 'warning', 'mentions_unjudged:' || min(error_class),
       concat_ws(':', 'mentions_unjudged', call_id, %(run_id)s::text),
       'Mentions in a call could not be judged',
       'They are of ' || string_agg(DISTINCT competitor, ', ' ORDER BY competitor)
           || '. The call is complete without them.',
       call_id, %(run_id)s::text, 'competitor_sentiment', min(error_class), min(reason),
       jsonb_build_object('advice', 'When the cause is gone: `callpipeline retry ' || call_id || '`.')
FROM unjudged
WHERE call_id = %(call_id)s AND not_before IS NULL AND updated_at = now()
GROUP BY call_id
ON CONFLICT DO NOTHING;
