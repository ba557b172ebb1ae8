"""Keys as they are sent, and whom they let in."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.datastructures import Headers

from callpipeline.domain.access import ApiKey, Scope, granted
from callpipeline.storage.api_keys import ApiKeys
from callpipeline.web.access.kept import Lately
from callpipeline.web.access.visitors import Visitor


def sent_key(headers: Headers) -> str | None:
    """What is sent as a key, in X-API-KEY or as a bearer; None where nothing is."""
    own = headers.get("x-api-key")
    if own is not None:
        return own
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


class KeyRing:
    """Tells whose key it is. What it has found holds for a few seconds: then it asks again."""

    def __init__(
        self,
        keys: ApiKeys,
        of_settings: str | None = None,
        *,
        lately: Lately[Visitor | None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`of_settings` is CALLPIPELINE_API_KEY, which may do everything."""
        self._keys = keys
        self._of_settings = _digest(of_settings) if of_settings else None
        self._lately = Lately() if lately is None else lately
        self._now = now

    def knows_form(self, text: str) -> bool:
        """Whether it can be one of ours at all, without asking the database."""
        return ApiKey.read(text) is not None or self._is_of_settings(text)

    async def visitor(self, text: str) -> Visitor | None:
        """Whose key it is; None for one that is unknown, revoked or over."""
        if self._is_of_settings(text):
            return Visitor("CALLPIPELINE_API_KEY", frozenset(Scope), "key", "key:settings")
        key = ApiKey.read(text)
        if key is None:
            return None
        cached = self._lately.get(_digest(text))
        if cached:
            return cached[0]
        visitor = await asyncio.to_thread(self._find, key)
        self._lately.put(_digest(text), visitor)
        return visitor

    def _is_of_settings(self, text: str) -> bool:
        # Of digests, which are equally long: the time it takes tells nothing of what was right.
        return self._of_settings is not None and hmac.compare_digest(
            self._of_settings, _digest(text)
        )

    def _find(self, key: ApiKey) -> Visitor | None:
        found = self._keys.find(key.key_id)
        record, digest = found or (None, bytes(32))
        is_right = hmac.compare_digest(digest, key.digest)
        if record is None or not is_right or not record.holds(self._now()):
            return None
        self._keys.note_use(key.key_id)
        return Visitor(record.name, granted(record.scopes), "key", f"key:{key.key_id}")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
