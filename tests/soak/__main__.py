"""Entry point of `python -m tests.soak`."""

import sys

from tests.soak.soak import main

if __name__ == "__main__":
    sys.exit(main())
