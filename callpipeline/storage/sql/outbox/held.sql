-- Events that wait to be told with others of their group, or for the end of quiet hours.
SELECT count(*) AS events FROM outbox WHERE untold <> '{}';
