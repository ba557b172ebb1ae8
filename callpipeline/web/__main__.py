"""`python -m callpipeline.web`: the API, which `up` starts."""

import uvicorn

from callpipeline.config import settings
from callpipeline.web import access
from callpipeline.web.app import create_app


def main() -> None:
    options = settings()
    access.refuse_unguarded(options)
    # IPv6 addresses stand in brackets in settings and URLs, not here.
    host = options.web_host.strip("[]")
    uvicorn.run(create_app(options), host=host, port=options.web_port, **access.SERVER)


if __name__ == "__main__":
    main()
