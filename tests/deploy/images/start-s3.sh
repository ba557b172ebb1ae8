#!/bin/sh
# Serve /store with the keys of the environment, whatever the arguments are.
exec /opt/rclone/bin/rclone serve s3 --config /tmp/rclone.conf --addr :7070 \
    --auth-key "$ROOT_ACCESS_KEY,$ROOT_SECRET_KEY" --vfs-cache-mode writes --cache-dir /tmp/cache /store
