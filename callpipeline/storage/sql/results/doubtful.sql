-- Of these calls, those in whose transcripts no word is, or words that the recogniser was unsure of.
SELECT call_id, sum(word_count) = 0 AS is_wordless FROM transcripts
WHERE call_id = ANY(%(call_ids)s)
GROUP BY call_id HAVING sum(word_count) = 0 OR NOT bool_and(reliable);
