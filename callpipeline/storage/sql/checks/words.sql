-- Calls that were transcribed since a time, and the channels of them on which somebody speaks for
-- long and hardly a word is (or none): how many calls, and the newest channels.
WITH transcribed AS (
    SELECT call_id, stored_at FROM call_stages
    WHERE stage = 'transcripts' AND stored_at >= %(since)s
), few AS MATERIALIZED (
    -- Nobody speaks longer than the channel is: most are left out before their speech is added up,
    -- which is 0.1 s for 10,000 calls.
    SELECT d.call_id, d.stored_at, h.channel, h.speech, coalesce(t.word_count, 0) AS words
    FROM transcribed d JOIN channels h USING (call_id)
         LEFT JOIN transcripts t USING (call_id, channel)
    WHERE (coalesce(t.word_count, 0) = 0) = %(wordless)s
      AND coalesce(t.word_count, 0) < h.duration_s * %(words_per_s)s
), spoken AS MATERIALIZED (
    SELECT call_id, stored_at, channel, words,
           (SELECT sum((i ->> 1)::float - (i ->> 0)::float)
            FROM jsonb_array_elements(speech) AS i) AS speech_s
    FROM few
), found AS (
    SELECT * FROM spoken
    WHERE speech_s >= %(least_speech_s)s AND words < speech_s * %(words_per_s)s
)
SELECT (SELECT count(*) FROM transcribed) AS looked,
       (SELECT count(DISTINCT call_id) FROM found) AS found,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id, n.channel), '[]')
        FROM (SELECT * FROM found ORDER BY stored_at DESC, call_id, channel LIMIT %(most)s) AS n)
           AS newest;
