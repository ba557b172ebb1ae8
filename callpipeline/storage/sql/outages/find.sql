-- What is known of a service that is away.
SELECT reason, tries, greatest(extract(epoch FROM again_at - now()), 0)::float AS again_s
FROM outages WHERE service = %(service)s;
