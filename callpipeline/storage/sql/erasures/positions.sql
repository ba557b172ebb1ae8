-- Forget where looking for recordings stands, since erased keys may be in it: a look that is under
-- way cannot write it any more, and the next one begins from the beginning.
DELETE FROM discovery;
