-- What others wrote for people to be told, of no call that is known here.
SELECT event_id::text, metadata ->> 'job_filename' AS file_name,
       concat_ws(' ', title, message, error_message, group_key, subject, metadata::text) AS text
FROM outbox WHERE call_id IS NULL AND kind = 'custom';
