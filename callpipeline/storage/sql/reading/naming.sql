-- Of calls r those in which a mention is that Filters want.
    EXISTS (SELECT FROM reading_mentions m WHERE m.call_id = r.call_id
            AND (%(competitors)s::text[] IS NULL OR m.competitor = ANY(%(competitors)s))
            AND (%(sentiment)s::text IS NULL OR m.stance = %(sentiment)s)
            AND (%(speaker)s::text IS NULL OR m.speaker = %(speaker)s))
