"""`python -m callpipeline.web`: the API on this machine's loopback, which `up` starts."""

import uvicorn

from callpipeline.config import settings
from callpipeline.web.app import create_app


def main() -> None:
    options = settings()
    uvicorn.run(create_app(options), host="127.0.0.1", port=options.web_port, server_header=False)


if __name__ == "__main__":
    main()
