-- Every try to deliver a message, in their order.
SELECT attempt, at, round(took_s::numeric, 3)::float AS took_s, accepted, code, answer FROM deliveries
WHERE notification_id = %(notification_id)s::uuid ORDER BY attempt;
