-- name: list
-- List the corrections of a call's words, oldest first.
SELECT channel, start_s, end_s, original, text, corrected_by, corrected_at FROM word_corrections
WHERE call_id = %(call_id)s ORDER BY correction_id;

-- name: insert
-- Insert a correction.
INSERT INTO word_corrections (call_id, channel, start_s, end_s, original, text, corrected_by)
VALUES (%(call_id)s, %(channel)s, %(start_s)s, %(end_s)s, %(original)s, %(text)s, %(by)s);

-- name: update_segment
-- Give a segment the corrected text, and its transcript the number of words.
WITH segment AS (
    UPDATE segments SET text = %(text)s
    WHERE call_id = %(call_id)s AND channel = %(channel)s AND segment_index = %(segment_index)s
)
UPDATE transcripts SET word_count = %(word_count)s
WHERE call_id = %(call_id)s AND channel = %(channel)s;

-- name: present
-- Return the text of a segment, and the last correction of its words.
SELECT s.text, k.corrected_by,
       ceil(extract(epoch FROM clock_timestamp() - k.corrected_at) / 60)::integer AS minutes
FROM segments s
LEFT JOIN LATERAL (
    SELECT * FROM word_corrections k
    WHERE k.call_id = s.call_id AND k.channel = s.channel
      AND k.start_s < s.end_s AND k.end_s > s.start_s
    ORDER BY k.correction_id DESC LIMIT 1) AS k ON true
WHERE s.call_id = %(call_id)s AND s.channel = %(channel)s
  AND s.segment_index = %(segment_index)s;

-- name: forget_masked
-- Delete the corrections of words that were masked since: they may hold what is masked.
DELETE FROM word_corrections
WHERE call_id = %(call_id)s AND channel = %(channel)s AND start_s < %(end_s)s AND end_s > %(start_s)s;
