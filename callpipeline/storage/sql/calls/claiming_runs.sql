-- The runs that hold calls.
SELECT DISTINCT claimed_by FROM calls WHERE claimed_by IS NOT NULL;
