"""Card, bank and phone numbers in runs of digits, recognised by check digits and by context.

Check digits and country formats come from python-stdnum and phonenumbers.
"""

import re
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain, groupby, pairwise

import phonenumbers
from stdnum import iban, luhn  # pyright: ignore[reportMissingTypeStubs]
from stdnum.us import rtn  # pyright: ignore[reportMissingTypeStubs]

from callpipeline.domain.redaction.tokens import (
    Context,
    Finding,
    Kind,
    Run,
    SpokenToken,
    Unit,
    digit_runs,
    unit_at,
    word_set,
)

_ISSUERS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"  # Visa
    r"|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[68]\d)\d{11}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}"  # Discover, UnionPay
    r"|(?:5[06-8]|6\d)\d{14,17}",  # Maestro
    re.ASCII,
)
MIN_UNCHECKED_CARD = 12
"""Digits that are masked after talk of a card although a digit was misheard."""
MAX_CARD = 19
BANK_S = 120.0

_CARD = re.compile(
    r"\b(?:(?:card|long|sixteen digit|16 digit)s?'? (?:number|digits)|card details|debit card|"
    r"credit card|bank card|(?:across|on) the (?:front|card)|visa|mastercard|amex)\b"
)
_SECURITY_CODE = re.compile(
    r"\b(?:security (?:code|number)|c ?v ?[vc2]|(?:three|3|four|4|last) (?:three |3 )?digits?"
    r" (?:on|from) the (?:back|front)|signature strip)\b"
)
_SORT_CODE = re.compile(r"\bsort[ -]?code\b")
_ROUTING = re.compile(r"\brouting (?:number|code)\b|\baba number\b")
_BANK = re.compile(
    r"\b(?:sort[ -]?code|routing|bank(?:ing)?|direct debit|building society|refund into|"
    r"current account|savings account|payee)\b"
)
_ACCOUNT = re.compile(r"\baccount (?:number|no)\b|\baccount's\b|\baccount is\b")

_PHONE_CUES = word_set(
    "phone phones telephone tel mobile cell cellphone landline call calling ring text texting "
    "whatsapp dial reach contact callback extension fax hotline helpline"
)
_OTHER_CUES = word_set(
    "order reference ref invoice ticket tracking case policy serial meter imei booking "
    "confirmation claim account membership customer parcel consignment quote model part sku "
    "licence license product barcode puk sim reading"
)
_COUNTED = word_set(
    "pound pounds quid pence dollar dollars bucks cents euro euros percent days weeks months years "
    "minutes hours users people lines"
)
"""Words after amounts."""
_YEAR = re.compile(r"(?:19|20)\d\d", re.ASCII)
_WORDS_BEFORE_CODE = 4
"""Between talk of a security code and one that could be a year: "on the back? It's"."""
_BANK_LENGTHS = (6, 8, 14)
"""A sort code, an account number, and both."""
_CUE_WORDS = 10
MIN_PHONE, MIN_NATIONAL, MAX_PHONE = 7, 10, 15
_MAX_OTHERS = 2
Tokens = Sequence[SpokenToken]


@dataclass(frozen=True, slots=True)
class NumberRules:
    """Rules that recognise the numbers of a call; `regions` are countries of phone numbers."""

    context: Context
    regions: Sequence[str]

    def find(self, tokens: Tokens, runs: Sequence[Run]) -> Iterator[Finding]:
        """Yield the numbers in the runs of one speaker; each digit belongs to one of them."""
        taken: set[tuple[str, int, int]] = set()
        kinds: Sequence[Callable[[Tokens, Sequence[Run]], Iterator[Finding]]] = (
            self._ibans,
            self._cards,
            self._unchecked_cards,
            self._bank_numbers,
            self._phones,
        )
        for find in kinds:
            left = [part for run in runs for part in _without(run, taken)]
            for finding in find(tokens, left):
                places = {token.place for token in finding.tokens}
                if not places & taken:
                    taken |= places
                    yield finding

    def _said(self, run: Run, within_s: float = 25.0, most: int = 30) -> str:
        return " ".join(self.context.before(run[0].tokens[0], within_s, most))

    def _cards(self, _tokens: Tokens, runs: Sequence[Run]) -> Iterator[Finding]:
        for run in runs:
            said = self._said(run, most=8)
            if _last(_OTHER_NUMBERS, said) >= 0 and _last(_CARD, self._said(run)) < 0:
                continue
            for window in _windows(run, 13, MAX_CARD, is_card):
                yield _finding(Kind.CARD, window)
        yield from _split_cards(runs)

    def _unchecked_cards(self, _tokens: Tokens, runs: Sequence[Run]) -> Iterator[Finding]:
        """Yield security codes, and cards with a misheard digit, by what was said before."""
        for run in runs:
            digits = _digits(run)
            if len(digits) in (3, 4):
                is_card = self._is_security_code(run)
            else:
                said = self._said(run, 45.0, 40)
                is_named = _last(_CARD, said) > _last(_OTHER_NUMBERS, said)
                is_card = is_named and len(digits) >= MIN_UNCHECKED_CARD
            if is_card:
                yield _finding(Kind.CARD, run)

    def _is_security_code(self, run: Run) -> bool:
        """Return whether digits are the first after talk of a security code, or the same again."""
        before = self.context.tokens_before(run[0].tokens[0], most=16)
        said = " ".join(token.bare for token in before)
        cues = [*_SECURITY_CODE.finditer(said)]
        if not cues:
            return False
        between = before[said[: cues[-1].end()].count(" ") + 1 :]
        digits = _digits(run)
        if _YEAR.fullmatch(digits) and len(between) > _WORDS_BEFORE_CODE:
            return False
        # Two people may say it right after each other: one run of six or eight digits.
        others = [_digits(each).replace(digits, "") for each in digit_runs(between)]
        return not any(len(other) in (3, 4, 6, 8) for other in others)

    def _bank_numbers(self, tokens: Tokens, runs: Sequence[Run]) -> Iterator[Finding]:
        counted = {
            token.place for token, following in pairwise(tokens) if following.bare in _COUNTED
        }
        for run in runs:
            for part in _without_amounts(run, counted):
                found = next((each for each in _trimmed(part) if self._is_bank_number(each)), None)
                if found:
                    yield _finding(Kind.BANK, found)

    def _is_bank_number(self, run: Run) -> bool:
        digits = _digits(run)
        if not 6 <= len(digits) <= 17:
            return False
        said, bank = self._said(run), self._said(run, BANK_S, 150)
        own_cue = max(_last(cue, said) for cue in (_SORT_CODE, _ROUTING, _ACCOUNT))
        if _last(_OTHER_NUMBERS, said) > own_cue:
            return False
        if _last(_SORT_CODE, said) >= 0 and len(digits) in (6, 14):
            return True
        if len(digits) == 9 and _last(_ROUTING, said) >= 0:
            return rtn.is_valid(digits)
        follows_sort_code = len(digits) == 8 and _last(_SORT_CODE, said) >= 0
        is_account = len(digits) <= 12 and _last(_ACCOUNT, said) >= 0
        return follows_sort_code or (is_account and _last(_BANK, bank) >= 0)

    def _ibans(self, tokens: Tokens, _runs: Sequence[Run]) -> Iterator[Finding]:
        at = 0
        while at < len(tokens):
            length = _iban_length(tokens, at)
            if length:
                yield Finding(Kind.BANK, tuple(tokens[at : at + length]))
            at += length or 1

    def _phones(self, _tokens: Tokens, runs: Sequence[Run]) -> Iterator[Finding]:
        for run in runs:
            cue = self._cue(run)
            total = len(_digits(run))
            for window in _windows(run, MIN_PHONE, MAX_PHONE, lambda _: True):
                if self._is_phone(window, total - len(_digits(window)), cue):
                    yield _finding(Kind.PHONE, window)

    def _cue(self, run: Run) -> str:
        """Return the last word before a run that says what number it is; empty without one."""
        cues = (
            word
            for word in reversed(self.context.before(run[0].tokens[0], most=_CUE_WORDS))
            if word in _PHONE_CUES or word in _OTHER_CUES
        )
        return next(cues, "")

    def _is_phone(self, window: Run, others: int, cue: str) -> bool:
        """Return whether digits are a phone number; `others` is how many are around them."""
        digits = _digits(window)
        if window[0].has_plus:
            return _is_possible(f"+{digits}", None)
        # Part of a long number is none, but "Three" or "2" may stand beside one, or another one.
        may_be_beside = others <= _MAX_OTHERS or (others >= MIN_NATIONAL and digits.startswith("0"))
        if cue in _OTHER_CUES or not may_be_beside:
            return False
        groups = [len(unit.digits) for unit in window]
        if len(digits) < MIN_NATIONAL:
            is_local = groups == [3, 4] or groups == [1] * MIN_PHONE
            return is_local and not others and cue in _PHONE_CUES
        if cue in _PHONE_CUES or digits.startswith("0"):
            return any(_is_possible(digits, region) for region in self.regions)
        is_grouped = groups in ([3, 3, 4], [1, 3, 3, 4], [len(digits)]) or set(groups) == {1}
        return is_grouped and not others and any(_is_valid(digits, r) for r in self.regions)


_OTHER_NUMBERS = re.compile(
    r"\b(?:order|tracking|invoice|serial|imei|meter|booking|ticket|parcel|case|customer|policy)"
    r"(?: number| no| ref| reference| id)\b|\breference\b"
)


def is_card(digits: str) -> bool:
    """Return whether digits are a card number, by issuer, length and check digit."""
    return bool(_ISSUERS.fullmatch(digits)) and luhn.is_valid(digits)


def _windows(run: Run, least: int, most: int, accepts: Callable[[str], bool]) -> Iterator[Run]:
    """Yield the parts of a run that are accepted, the longest first; they may overlap."""
    parts: list[tuple[int, int, str]] = []
    for start in range(len(run)):
        digits = ""
        for end in range(start, len(run)):
            digits += run[end].digits
            if len(digits) > most:
                break
            if len(digits) >= least and accepts(digits):
                parts.append((start, end + 1, digits))
    for start, end, _ in sorted(parts, key=lambda part: (-len(part[2]), part[0])):
        yield run[start:end]


def _split_cards(runs: Sequence[Run]) -> Iterator[Finding]:
    """Yield cards whose digits are interrupted by other words, such as "hang on"."""
    pending = list(runs)
    for first in range(len(pending)):
        digits = _digits(pending[first])
        for last in range(first + 1, min(first + 4, len(pending))):
            pause_s = (
                pending[last][0].tokens[0].start_s - pending[last - 1][-1].tokens[-1].mute_end_s
            )
            digits += _digits(pending[last])
            if len(digits) > MAX_CARD or pause_s > 25.0:
                break
            if len(digits) >= 15 and is_card(digits):
                yield _finding(Kind.CARD, [*chain.from_iterable(pending[first : last + 1])])


_COUNTRY = re.compile(r"[a-z]{2}", re.ASCII)
_IBAN_PART = re.compile(r"[A-Z0-9]{1,34}", re.ASCII)
_SPOKEN_PART = re.compile(r"[a-z]|\d+|[a-z]+\d[a-z\d]*|\d+[a-z][a-z\d]*", re.ASCII)


def _iban_length(tokens: Tokens, at: int) -> int:
    """Return how many tokens from one on say an IBAN; 0 if none begins there."""
    if not _may_be_country(tokens, at):
        return 0
    text, end, longest = "", at, 0
    while end < len(tokens) and len(text) < 34:
        unit, used = unit_at(tokens, end)
        bare = tokens[end].text.strip(" .,;:")
        if unit:
            text += unit.digits
        elif _SPOKEN_PART.fullmatch(bare.casefold()) or _IBAN_PART.fullmatch(bare):
            text += bare.upper()
        else:
            break
        end += used
        if len(text) >= 15 and iban.is_valid(text):
            longest = end - at
    return longest


def _may_be_country(tokens: Tokens, at: int) -> bool:
    """Return whether one token, or two single letters, begin with a country code."""
    bare = tokens[at].bare
    if len(bare) == 1 and at + 1 < len(tokens):
        return bool(_COUNTRY.fullmatch(bare + tokens[at + 1].bare))
    follows = tokens[at + 1].bare[:1] if at + 1 < len(tokens) else ""
    return bool(_COUNTRY.match(bare)) and (
        bare[2:4].isdigit() or (len(bare) == 2 and (tokens[at].text.isupper() or follows.isdigit()))
    )


def _is_possible(digits: str, region: str | None) -> bool:
    number = _parsed(digits, region)
    return number is not None and phonenumbers.is_possible_number(number)


def _is_valid(digits: str, region: str) -> bool:
    number = _parsed(digits, region)
    return number is not None and phonenumbers.is_valid_number(number)


def _parsed(digits: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None


def _last(pattern: re.Pattern[str], text: str) -> int:
    """Return where the last match begins, -1 without one."""
    return max((match.start() for match in pattern.finditer(text)), default=-1)


def _digits(run: Run) -> str:
    return "".join(unit.digits for unit in run)


def _finding(kind: Kind, run: Run) -> Finding:
    return Finding(kind, tuple(chain.from_iterable(unit.tokens for unit in run)))


def _without_amounts(run: Run, counted: Set[tuple[str, int, int]]) -> Iterator[Run]:
    """Yield the parts of a run between "one thousand", "450 pounds" and the like."""
    for is_amount, part in groupby(
        run,
        lambda unit: unit.tokens[-1].bare == "thousand" or unit.tokens[-1].place in counted,
    ):
        if not is_amount:
            yield list(part)


def _trimmed(run: Run) -> Iterator[Run]:
    """Yield a run, and before it the parts without the company Three at its ends if they fit."""
    starts = (0, 1) if _is_name(run[0]) else (0,)
    ends = (len(run), len(run) - 1) if _is_name(run[-1]) else (len(run),)
    parts = [run[start:end] for start in starts for end in ends]
    yield from (part for part in parts if len(_digits(part)) in _BANK_LENGTHS)
    yield run


def _is_name(unit: Unit) -> bool:
    return unit.tokens[0].text.strip(" .,;:!?") == "Three"


def _without(run: Run, taken: set[tuple[str, int, int]]) -> Iterator[Run]:
    """Yield the parts of a run that belong to no number yet."""
    for is_taken, part in groupby(
        run, lambda unit: any(token.place in taken for token in unit.tokens)
    ):
        if not is_taken:
            yield list(part)
