-- Of reading_mentions m those that Filters let through, of calls that are counted.
    (%(from_day)s::date IS NULL OR m.day >= %(from_day)s)
    AND (%(to_day)s::date IS NULL OR m.day <= %(to_day)s)
    AND (%(agent)s::text IS NULL OR m.agent = lower(%(agent)s))
    AND (%(source)s::text IS NULL OR m.source = %(source)s)
    AND (%(competitors)s::text[] IS NULL OR m.competitor = ANY(%(competitors)s))
    AND (%(sentiment)s::text IS NULL OR m.stance = %(sentiment)s)
    AND (%(speaker)s::text IS NULL OR m.speaker = %(speaker)s)
    /* AND of_calls */
