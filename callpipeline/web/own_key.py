"""A secret of this installation, by which its servers know what they have signed."""

import os
import secrets
from pathlib import Path

_BYTES = 32


def own_key(home: Path) -> bytes:
    """The secret in the data folder, made the first time: what it signs survives a restart."""
    path = home / "web-key"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".web-key-{secrets.token_hex(8)}")
    made.touch(mode=0o600)
    try:
        made.write_bytes(secrets.token_bytes(_BYTES))
        os.link(made, path)  # whole or not at all, and the first one's
    except FileExistsError:
        pass
    finally:
        made.unlink(missing_ok=True)
    return path.read_bytes()
