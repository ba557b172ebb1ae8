"""Names in web and e-mail addresses, written or spoken: "sky.com", "w w w dot sky dot com"."""

import re

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
_WRITTEN_ENDINGS = _ENDINGS.replace("app|", "").replace("shop|store|online|", "")
"""Top-level domains that are no words after a full stop without a space: "three.Online it says"."""
_SITE_AFTER = re.compile(
    rf"(?:\.(?:{_WRITTEN_ENDINGS})|\s{{1,3}}dot\s{{1,3}}(?:{_ENDINGS}))"
    rf"(?:(?:{_DOT}|(?:(?<=co)|(?<=com))\s{{1,3}})(?:{_ENDINGS}))?"
    r"(?![\w-]|\.\w|\s{1,3}dot\s)",
    re.IGNORECASE,
)
"""All the rest of an address after the name of its site: ".co.uk", " dot com", " dot co uk"."""
_SITE_BEFORE = re.compile(
    r"(?:^\s*|[.?!,;:]\s+|\w\.|@|://"
    r"|\b(?:dot|at|on|to|from|is|the|a|via|with|and|or|of|in)\s{1,3})$",
    re.IGNORECASE,
)
"""Words before the whole name of a site, unlike those of a longer name ("blue sky dot com")."""
MAX_BEFORE = 250
"""Characters before a name that can be of its address; it limits the cost of long texts."""
_PATH = re.compile(rf"\.(?:{_ENDINGS})/", re.IGNORECASE)


def is_site(text: str, start: int, end: int) -> bool:
    """Return whether the name at `start:end` is all the name of a site: "sky dot co dot uk"."""
    before = text[max(start - MAX_BEFORE, 0) : start]
    return _SITE_AFTER.match(text, end) is not None and _SITE_BEFORE.search(before) is not None


def is_host(text: str, end: int) -> bool:
    """Return whether the name that ends here goes on as the address of a site: "sky-shop.de"."""
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
