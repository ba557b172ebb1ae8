"""Write the passwords and keys of docker-compose.yml to `.env`, for `make secrets`.

Needs nothing but Python. What `.env` has already is kept, so it can run again.
"""

import os
import re
import secrets
import sys
from pathlib import Path

HEADER = (
    "# Passwords and keys of docker-compose.yml, by `make secrets`. Keep this file to yourself.\n"
)


def new_secrets() -> dict[str, str]:
    """Return a new value for each variable; letters and digits only, so they fit into URLs."""
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "S3_ACCESS_KEY": "callpipeline" + secrets.token_hex(4),
        "S3_SECRET_KEY": secrets.token_hex(24),
        "CALLPIPELINE_WEB_KEY": secrets.token_hex(32),
        "CALLPIPELINE_WEB_USERS": f'\'{{"admin": "{secrets.token_hex(12)}"}}\'',
    }


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else ".env")
    text = path.read_text() if path.exists() else ""
    present = set(re.findall(r"^(?:export )?(\w+)=", text, re.MULTILINE))
    missing = {name: value for name, value in new_secrets().items() if name not in present}
    if not missing:
        print(f"{path} has every password and key already.")
        return
    if text and not text.endswith("\n"):
        text += "\n"
    text += ("\n" if text else "") + HEADER
    text += "".join(f"{name}={value}\n" for name, value in missing.items())
    written = path.with_name(f"{path.name}.new")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    written.replace(path)
    print(f"Wrote {', '.join(missing)} to {path}.")
    if "CALLPIPELINE_WEB_USERS" in missing:
        print(f"Log in as admin; the password is in {path}.")


if __name__ == "__main__":
    main()
