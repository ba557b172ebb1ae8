-- Mentions m counted by how they speak of the competitor, and by who speaks.
    count(*) AS mentions,
    count(*) FILTER (WHERE m.stance = 'positive') AS positive,
    count(*) FILTER (WHERE m.stance = 'neutral') AS neutral,
    count(*) FILTER (WHERE m.stance = 'negative') AS negative,
    count(*) FILTER (WHERE m.stance = 'unsure') AS unsure,
    count(*) FILTER (WHERE m.stance = 'unjudged') AS unjudged,
    count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
    count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
    avg(m.score) AS mean_score
