"""`python -m callpipeline.web`: serve the web app, as `up` does."""

import contextlib
import sys

import uvicorn

from callpipeline.config import settings
from callpipeline.http_server.access_log import log_config
from callpipeline.http_server.connections import raise_file_limit
from callpipeline.storage.objects.files import keep_files_private
from callpipeline.web import access
from callpipeline.web.app import Server, create_app


def main() -> None:
    keep_files_private()
    raise_file_limit()
    options = settings()
    access.check_settings(options)
    # Settings and URLs have IPv6 addresses in brackets, uvicorn takes them without.
    host = options.web_host.strip("[]")
    config = uvicorn.Config(
        create_app(options),
        host=host,
        port=options.web_port,
        log_config=log_config(options.log_format),
        **access.UVICORN_OPTIONS,
    )
    server = Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
