"""Email addresses, written or spoken: "john dot smith at gmail dot com"."""

import re
from collections.abc import Iterator, Sequence

from callpipeline.domain.redaction.tokens import Context, Finding, Kind, SpokenToken, word_set

_WRITTEN = re.compile(r"[^\s@<>,;]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*", re.ASCII)
_DOMAINS = (
    "com|net|org|edu|gov|io|co|me|info|biz|uk|ie|de|fr|es|it|nl|be|ch|at|se|no|dk|fi|pl|pt|gr|"
    "eu|us|ca|au|nz|in|jp|cn|br|mx|za|app|dev|online|tech|ai|tv|cloud|shop|email|ac|ltd|plc|nhs"
)
_LAST_LABEL = re.compile(rf"(?:{_DOMAINS})", re.ASCII)
_WRITTEN_DOMAIN = re.compile(rf"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:{_DOMAINS})", re.ASCII)
_LABEL = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_PROVIDERS = word_set(
    "gmail googlemail hotmail outlook yahoo icloud aol btinternet virginmedia live msn protonmail "
    "proton sky talktalk mac mail gmx web comcast verizon att"
)
_AT = frozenset(("at", "@"))
_JOINTS = word_set("dot . underscore _ dash hyphen - minus point period plus")
_NOT_LOCAL = word_set(
    "is it's its it's the a an my our your his her their this that that's to on in of for and or "
    "email emails mail address write send sent me us you it him them look looking go going went "
    "find found up online website site page available working work works based here there see "
    "shop buy bought order ordered are was be been am i we they at so yes yeah um uh okay ok "
    "under as with from by it'd it'll called login user username name again correct right"
)
"""Words that stand before an address, or before the name of a website, but belong to none."""
_DESCRIPTIONS = word_set(
    "better best worse worst cheaper cheapest cheap faster fastest slower good great bad fine free "
    "nice easier simpler new listed shown offered sold advertised hosted ready done stuck more "
    "less much well available said saw read checked look check signed"
)
"""Words before the name of a website that are no mailbox, even after talk of email."""
_CUES = frozenset(("email", "emails", "e-mail", "mail", "emailed", "inbox"))
_MAX_LOCAL = 24
_MAX_FREE_WORDS = 3
"""Words without a "dot" between them that may form the part before the at, such as "john smith"."""


def find_emails(tokens: Sequence[SpokenToken], context: Context) -> Iterator[Finding]:
    """Yield the addresses among the words of one speaker."""
    free_from = 0
    for at in range(len(tokens)):
        if at < free_from:
            continue
        found = _address_at(tokens, at, context)
        if found is not None:
            start, end = max(found[0], free_from), found[1]
            yield Finding(Kind.EMAIL, tuple(tokens[start:end]))
            free_from = end


def _address_at(tokens: Sequence[SpokenToken], at: int, context: Context) -> tuple[int, int] | None:
    """Return the range of the address whose at is said by a token, None without one."""
    bare = tokens[at].bare
    if "@" in bare and bare != "@":
        return _written_address(tokens, at)
    if bare not in _AT:
        return None
    end = _domain_end(tokens, at + 1)
    if end is None:
        return None
    start = _local_start(tokens, at)
    said = context.before(tokens[at], 30.0, 25)
    has_cue = any(word in _CUES for word in said)
    if start is None:
        return None
    # "We're at sky dot com" and "it's cheaper at three dot co dot uk" are websites.
    is_plain = start == at - 1 and tokens[start].bare.isalpha()
    is_mailbox = tokens[at + 1].bare.partition(".")[0] in _PROVIDERS - {"sky", "three", "web"}
    if is_plain and not is_mailbox and tokens[start].bare in _DESCRIPTIONS:
        return None  # "our email is better at three dot com"
    return (start, end) if has_cue or is_mailbox or not is_plain else None


def _written_address(tokens: Sequence[SpokenToken], at: int) -> tuple[int, int] | None:
    """Return the range of an address with an @; its domain may go on in words."""
    bare = tokens[at].bare
    if bare.startswith("@"):
        end = _domain_end([*tokens[: at + 1], *tokens[at + 1 :]], at + 1)
        is_domain = _WRITTEN_DOMAIN.fullmatch(bare[1:])
        start = _local_start(tokens, at)
        return (start, at + 1) if is_domain and start is not None else _with_end(start, end)
    if bare.endswith("@"):
        return _with_end(at, _domain_end(tokens, at + 1))
    if not _WRITTEN.fullmatch(bare):
        return None
    end = at + 1
    while end + 1 < len(tokens) and tokens[end].bare in ("dot", "."):
        end += 2
    return at, end


def _with_end(start: int | None, end: int | None) -> tuple[int, int] | None:
    return (start, end) if start is not None and end is not None else None


def _domain_end(tokens: Sequence[SpokenToken], start: int) -> int | None:
    """Return the end of a domain like "gmail dot com", "gmail.com" or "b t internet dot com"."""
    end = start
    while end < len(tokens) and end - start <= _MAX_FREE_WORDS:
        bare = tokens[end].bare
        if _WRITTEN_DOMAIN.fullmatch(bare):
            return _further_labels(tokens, end + 1)
        if not _LABEL.fullmatch(bare) or bare in ("dot", "at"):
            return None
        end += 1
        labels_end = _further_labels(tokens, end)
        if labels_end > end:
            last = tokens[labels_end - 1].bare
            return labels_end if _LAST_LABEL.fullmatch(last) else None
    return None


def _further_labels(tokens: Sequence[SpokenToken], end: int) -> int:
    """Return the end of "dot co dot uk" that begins at a token, or the token itself."""
    while (
        end + 1 < len(tokens)
        and tokens[end].bare in ("dot", "")
        and _LABEL.fullmatch(tokens[end + 1].bare)
    ):
        end += 2
    return end


def _local_start(tokens: Sequence[SpokenToken], at: int) -> int | None:
    """Return where the part before the at begins; None if no word before it can belong to it.

    The words that dots or underscores join belong to it, single letters and digits that spell it,
    and a few more names in front, as in "john smith at".
    """
    start, free_words, is_joined = at, 0, False
    while start > 0 and at - start < _MAX_LOCAL:
        bare = tokens[start - 1].bare
        pause_s = tokens[start].start_s - tokens[start - 1].mute_end_s
        if bare in _JOINTS or bare == "":
            is_joined = True
        elif is_joined:
            is_joined, free_words = False, 0
        elif (
            (bare in _NOT_LOCAL and not _is_spelled(tokens, start - 1))
            or not _LABEL.fullmatch(bare.replace("'", ""))
            or pause_s > 2.0
        ):
            break
        elif len(bare) > 1 and not bare.isdigit():
            free_words += 1
            if free_words > _MAX_FREE_WORDS - 1:
                break
        start -= 1
    while start < at and tokens[start].bare in _JOINTS:
        start += 1
    return start if start < at else None


def _is_spelled(tokens: Sequence[SpokenToken], at: int) -> bool:
    """Return whether a word is a letter beside other single letters: "s o p h i e"."""
    around = tokens[max(0, at - 1) : at + 2]
    return all(len(token.bare) == 1 for token in around)
