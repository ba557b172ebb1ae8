-- Mentions m counted by how they speak of the competitor.
    count(*) AS mentions,
    count(*) FILTER (WHERE m.stance = 'positive') AS positive,
    count(*) FILTER (WHERE m.stance = 'neutral') AS neutral,
    count(*) FILTER (WHERE m.stance = 'negative') AS negative,
    count(*) FILTER (WHERE m.stance = 'unsure') AS unsure,
    count(*) FILTER (WHERE m.stance = 'unjudged') AS unjudged,
    avg(m.score) AS mean_score
