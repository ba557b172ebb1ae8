-- What there is to filter by: each source and agent with calls in some states, and their days.
SELECT source, agent, min(agent_name) AS agent_name, min(day) AS first_day, max(day) AS last_day
FROM reading_calls WHERE state = ANY(%(states)s) GROUP BY source, agent;
