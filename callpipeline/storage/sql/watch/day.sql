-- What happened since a time: calls that ended, by state and by class of error, and what waits.
SELECT (SELECT count(*) FROM calls WHERE created_at >= %(since)s) AS arrived,
       (SELECT count(*) FROM calls WHERE state = 'COMPLETED' AND completed_at >= %(since)s)
           AS completed,
       (SELECT count(*) FROM calls WHERE state = 'FAILED' AND completed_at >= %(since)s) AS failed,
       (SELECT count(*) FROM calls WHERE state IN ('PENDING', 'PROCESSING')) AS waiting,
       (SELECT count(*) FROM mentions m JOIN calls c USING (call_id)
        WHERE c.completed_at >= %(since)s AND m.status = 'accepted') AS mentions,
       (SELECT coalesce(jsonb_object_agg(error_class, calls), '{}')
        FROM (SELECT coalesce(error_class, 'an unknown error') AS error_class, count(*) AS calls
              FROM calls
              WHERE state = 'FAILED' AND completed_at >= %(since)s GROUP BY 1) AS f)
           AS failures;
