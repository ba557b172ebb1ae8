-- Of reading_calls r those of the days that Filters want; by the time, of which there is an index.
    (%(from_day)s::date IS NULL
     OR r.took_place_at >= %(from_day)s::date::timestamp AT TIME ZONE 'UTC')
    AND (%(to_day)s::date IS NULL
         OR r.took_place_at < (%(to_day)s::date + 1)::timestamp AT TIME ZONE 'UTC')
