-- Of mentions m those of calls in the states, or with the names, that Filters want.
    EXISTS (SELECT FROM reading_calls r WHERE r.call_id = m.call_id
            AND r.state = ANY(%(states)s)
            AND (%(name_patterns)s::text[] IS NULL OR r.name LIKE ALL (%(name_patterns)s)))
