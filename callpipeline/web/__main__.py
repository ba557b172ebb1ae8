"""`python -m callpipeline.web`: the API, which `up` starts."""

import contextlib
import sys

import uvicorn

from callpipeline.config import settings
from callpipeline.web import access
from callpipeline.web.app import create_app
from callpipeline.web.stopping import StoppingServer


def main() -> None:
    options = settings()
    access.refuse_unguarded(options)
    # IPv6 addresses stand in brackets in settings and URLs, not here.
    host = options.web_host.strip("[]")
    config = uvicorn.Config(create_app(options), host=host, port=options.web_port, **access.SERVER)
    server = StoppingServer(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
