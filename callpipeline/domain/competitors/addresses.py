"""Names in web and e-mail addresses, written or spoken: "sky.com", "w w w dot sky dot com"."""

import re
from collections.abc import Sequence

_ENDINGS = (
    "com|co|net|org|info|biz|io|ai|app|tv|shop|store|online|uk|ie|ca|au|nz|de|fr|es|nl|ch|pl|se|dk"
    "|fi|pt|za|jp|cn|kr|eu"
)
"""Top-level domains, without those that are words, as in "Sky.it works"."""
_LABEL = r"[\w-]{1,63}"
_DOT = r"(?:\.|\s{1,3}dot\s{1,3})"
_LABELS = rf"(?:{_LABEL}{_DOT}){{0,5}}"
_HOST_AFTER = re.compile(
    rf"(?:[\w-]{{0,63}}\.|\s{{1,3}}dot\s{{1,3}}){_LABELS}(?:{_ENDINGS})(?![\w-])", re.IGNORECASE
)
"""The rest of an address after the name: ".co.uk", " dot com", "-shop.de"."""
_MAILBOX_AFTER = re.compile(
    rf"\s{{1,3}}at\s{{1,3}}{_LABEL}{_DOT}(?:{_ENDINGS})(?![\w-])", re.IGNORECASE
)
"""The rest after a name that is a person's part of an address: " at gmail dot com"."""
_SPOKEN_W = r"double\s(?:u|you)"
_WEB_BEFORE = re.compile(
    rf"(?:\bw\s?w\s?w|\b{_SPOKEN_W}\s{_SPOKEN_W}\s{_SPOKEN_W}){_DOT}{_LABELS}$",
    re.IGNORECASE,
)
"""The beginning before a name: "www.", "w w w dot shop dot"."""
_GLUED_BEFORE = re.compile(r"[^\s,;()<>\"“”]*$")
_GLUED_AFTER = re.compile(r"[^\s,;()<>\"“”]{0,250}")
_DOMAINS = frozenset(["com", "co", "net", "org", "uk", "io"])
MAX_BEFORE = 250
"""Characters before a name that can be of its address; it limits the cost of long texts."""
_PATH = re.compile(rf"\.(?:{_ENDINGS})/", re.IGNORECASE)


def is_host(text: str, end: int) -> bool:
    """Return whether the name that ends here is that of a site: "sky.com", "sky dot co dot uk"."""
    return _HOST_AFTER.match(text, end) is not None


def is_in_address(text: str, start: int, end: int) -> bool:
    """Return whether the name at `start:end` is a part of a web or e-mail address.

    A name that is itself written like one ("Booking.com") is in an address only with more of it:
    "www.booking.com".
    """
    if is_host(text, end) or _MAILBOX_AFTER.match(text, end):
        return True
    before = text[max(start - MAX_BEFORE, 0) : start]
    if _WEB_BEFORE.search(before):
        return True
    written, following = _GLUED_BEFORE.search(before), _GLUED_AFTER.match(text, end)
    glued = written[0] if written else ""
    rest = following[0] if following else ""
    return "@" in glued + rest or "://" in glued or _PATH.search(glued) is not None


def is_followed_by_domain(words: Sequence[str], at: int) -> bool:
    """Return whether the words from `at` on can be the end of an address: "dot com"."""
    return any(word in _DOMAINS for word in words[at : at + 2])
