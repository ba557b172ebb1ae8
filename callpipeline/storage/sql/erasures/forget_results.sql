-- Delete what was made of calls. Segments go with transcripts; sentiment, or why there is none, goes
-- with mentions.
WITH wanted AS (SELECT unnest(%(call_ids)s::text[]) AS call_id),
audio AS (DELETE FROM recordings r USING wanted w WHERE r.call_id = w.call_id),
tracks AS (DELETE FROM channels r USING wanted w WHERE r.call_id = w.call_id),
metrics AS (DELETE FROM call_metrics r USING wanted w WHERE r.call_id = w.call_id),
decided AS (DELETE FROM reviews r USING wanted w WHERE r.call_id = w.call_id),
said AS (DELETE FROM transcripts r USING wanted w WHERE r.call_id = w.call_id),
named AS (DELETE FROM mentions r USING wanted w WHERE r.call_id = w.call_id)
DELETE FROM call_stages r USING wanted w WHERE r.call_id = w.call_id;
