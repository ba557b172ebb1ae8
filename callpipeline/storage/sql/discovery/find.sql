-- Where looking in a source stands, if it is what the token belongs to.
SELECT position FROM discovery WHERE source = %(source)s AND token = %(token)s;
