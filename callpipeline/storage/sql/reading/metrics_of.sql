-- Who spoke how long in a call.
SELECT duration_s, agent_talk_s, customer_talk_s, unknown_talk_s, silence_s, longest_silence_s,
       overlap_s, speech_detector
FROM call_metrics WHERE call_id = %(call_id)s;
