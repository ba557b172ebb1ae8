-- Forget positions of looking for recordings in which a key stands, or all of it but its last
-- character; without a place to look for, all of them. They cost a look from the beginning.
DELETE FROM discovery
WHERE %(places)s::text[] = '{}'
   OR EXISTS (SELECT FROM unnest(%(places)s::text[]) AS p (place)
              WHERE strpos(position, p.place) > 0);
