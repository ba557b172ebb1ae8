#!/bin/sh
# Create the database of POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB once, and serve it.
set -eu
PATH="$(echo /usr/lib/postgresql/*/bin):$PATH"
PGDATA=/var/lib/postgresql/data
export PATH PGDATA
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
    # shellcheck disable=SC2086
    initdb -A scram-sha-256 -U "$POSTGRES_USER" --pwfile=/tmp/password $POSTGRES_INITDB_ARGS
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -j postgres
fi
exec postgres -c listen_addresses='*'
