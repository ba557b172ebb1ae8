"""Who may log in: names with scrypt hashes of their passwords."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping

N, R, P = 32_768, 8, 1
"""The cost of a guess: 32 MB and about a tenth of a second."""
_MARK = f"scrypt:{N}:{R}:{P}"


class Users:
    """The users of a server; a name that nobody has takes as long to refuse as a wrong password."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        """`passwords` are plain or hashed, by name."""
        self._hashes = {
            name: password if password.startswith("scrypt:") else hashed(password)
            for name, password in passwords.items()
        }
        self._nobody = hashed(secrets.token_urlsafe()) if self._hashes else ""

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __contains__(self, name: str) -> bool:
        return name in self._hashes

    def accepts(self, name: str, password: str) -> bool:
        """Whether this is that user's password; takes a tenth of a second."""
        if not self._hashes:
            return False
        is_right = _matches(password, self._hashes.get(name, self._nobody))
        return is_right and name in self._hashes


def hashed(password: str) -> str:
    """The password as it may stand in a setting: `scrypt:N:r:p:salt:hash`."""
    salt = secrets.token_bytes(16)
    return f"{_MARK}:{_encoded(salt)}:{_encoded(_scrypt(password, salt))}"


def _matches(password: str, stored: str) -> bool:
    salt, expected = (base64.urlsafe_b64decode(part) for part in stored.split(":")[-2:])
    return hmac.compare_digest(_scrypt(password, salt), expected)


def _scrypt(password: str, salt: bytes) -> bytes:
    plain = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(plain, salt=salt, n=N, r=R, p=P, maxmem=2**26, dklen=32)


def _encoded(plain: bytes) -> str:
    return base64.urlsafe_b64encode(plain).decode()
