-- Of reading_calls r those that Filters let through; the mentions they want are in naming.sql.
    r.state = ANY(%(states)s) AND
    -- include reading/days_wanted
    AND (%(agent)s::text IS NULL OR r.agent = lower(%(agent)s))
    AND (%(source)s::text IS NULL OR r.source = %(source)s)
    AND (%(name_patterns)s::text[] IS NULL OR r.name LIKE ALL (%(name_patterns)s))
    /* AND naming */
