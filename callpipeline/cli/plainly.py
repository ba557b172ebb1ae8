"""Runs a module of Dagster whose words go to a log file: without the colours of a terminal.

`python plainly.py MODULE …` does what `python -m MODULE …` does; Dagster has no setting for it.
"""

import runpy
import sys


def main() -> None:
    import coloredlogs

    coloredlogs.ansi_wrap = uncoloured
    del sys.argv[0]
    # Where Python looks first: with `-m` that is the current folder, and not that of this file.
    sys.path[0] = ""
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def uncoloured(text: str, **_: object) -> str:
    return text


if __name__ == "__main__":
    main()
