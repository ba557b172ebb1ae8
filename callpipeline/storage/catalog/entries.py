"""Entries of a competitor list as written, whatever the format, and the checks they all pass."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from callpipeline.domain.competitors.catalog import (
    Catalog,
    Competitor,
    form_conflicts,
    normalise,
)
from callpipeline.domain.competitors.disambiguation.vocabulary import word_set
from callpipeline.errors import CatalogInvalid

LIST_KEYS = ("aliases", "sounds_like", "evidence")
FLAG_KEYS = ("ambiguous", "own")
KEYS = ("name", *LIST_KEYS, *FLAG_KEYS, "sells")
MAX_NAME_CHARS = 100
MAX_REPORTED = 5
"""Problems that one error names: the rest are often consequences."""


ORDINARY_WORDS = word_set("""
    amazon apple be bolt boost bulb clear cricket eagle ee fuse giant go hey id idea jazz juice
    june kite lime live meteor mint monday native next now o2 octopus olive one optimum orange
    post red rain sage shell simple sky smart smile spark spectrum sprint square standard
    straight stripe sun target telephone three tide true two utility virgin visible vista wave
    wind work zen zero zoom

    able above across act add after again age air all alliance also alternative always american
    anchor any arrow aspire away back bank base beacon best better big bird black block blue body
    book box brand bridge bright broad business button buy call can car card care centre center
    chain change chase check choice circle citizen city class clean close cloud club coach coast
    code come common compass connect contact core corner country cover crown current daily dash
    data day deal dear direct discover done door dove drive drop early earth east easy echo edge
    eight elephant energy engine ever every express extra eye face fair fast few field fine fire
    first five flag flash flex flow fly focus food force four fox free fresh friend front full
    future gap gamma gas gate gather general get gift glass global globe gold good grand
    great green grid ground group grow guide gum hand happy harbour harbor have health heart help
    here high hive home hope hot house how hub human hundred ice impact innovation inside it jet
    join joy jump just keep key kind king lake land large last later lead leaf life lift light
    like line link lion little local long look loop love low lower lucky magic main make market
    max may me meet mega men merit metro mile mind mobile moment money moon more most mountain
    move much music my name nation national natural near nest net network new nice night nine
    north note ocean off office oh old only open option other our out over own oyster page park
    part path peace people phone pick pilot place plan planet play plus point port position power
    premier press prime pro progress pulse pure push quest quick quiet radio range rapid ready
    real rest right ring rise river road rock root rose round royal run safe sail sale same
    save school sea second see seed sense service set seven shadow share sharp ship shop short
    side sign signal silver single six slack small snap social soft some song sound source south
    space speed spin spring staff stage star start state station steam step stone store storm
    stream street strong summit supply sure surface swan sweet swift switch table take talk
    tango team tempo ten test thing think thousand tiger time today together top total touch
    tower town track trade train travel tree trust truth turn under union unite united unity
    universal up upper value vast very view vision vital voice walk wall want war warm watch
    water way wealth web well west what when where white wide wild will win window wing wise
    wish wonder wood word world yellow yes yet young your youth
    """)
"""Words that brands share with ordinary speech: such names are ambiguous unless stated."""

FUNCTION_WORDS = word_set("""
    a am an and are as at but by did do does for from had has he her him his i if in into is it
    its mine not of on or she so than that the their them then there these they this those to too
    us was we were which who whom why with would you
    """)
"""Words of nearly every sentence: no disambiguation can find a company among them."""

_QUOTES = {"“": "”", "‘": "’", "„": "“", "«": "»"}
CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
GLUED_HASH = re.compile(r"\s#(?!\s|$)")


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A competitor as written, with its line; `ambiguous` is None if not stated."""

    line: int
    name: str
    aliases: tuple[str, ...] = ()
    ambiguous: bool | None = None
    evidence: tuple[str, ...] = ()
    own: bool = False
    sells: str = ""
    sounds_like: tuple[str, ...] = ()

    @property
    def is_bare(self) -> bool:
        """Return true if only the name is stated."""
        return self == ListEntry(self.line, self.name)


class ListProblems(list[str]):
    """Problems found so far, each with its line."""

    def add(self, line: int, problem: str) -> None:
        self.append(f"line {line}: {problem}")

    def check(self) -> None:
        """Raise CatalogInvalid if there are any."""
        if self:
            more = len(self) - MAX_REPORTED
            left = [f"And {more} more problems."] if more > 0 else []
            raise CatalogInvalid(" ".join([*self[:MAX_REPORTED], *left]))


@dataclass(frozen=True, slots=True)
class ParsedCatalog:
    """A catalog read from a file, and remarks on what was read in a way to look at."""

    catalog: Catalog
    warnings: tuple[str, ...] = ()


def glued_hash(written: str) -> str:
    return (
        f"{written!r}: is what follows # part of the name? In YAML, put the name in quotation "
        "marks; for a comment, put a space after the #."
    )


def tidy_name(written: str) -> str:
    """Return a name with single spaces and without curly quotation marks."""
    name = " ".join(written.split())
    if len(name) > 1 and _QUOTES.get(name[0]) == name[-1]:
        name = name[1:-1].strip()
    return name


def name_problem(written: str) -> str | None:
    """Return why this can't be a name; None if it can."""
    name = tidy_name(written)
    if not name:
        return "a name is empty: write it as it is spoken, or remove it."
    if len(name) > MAX_NAME_CHARS:
        return f"{name[:20]!r}… is longer than {MAX_NAME_CHARS} characters."
    if CONTROL.search(name):
        return f"{name!r} has a character that is no text: delete it, or type the name again."
    if not normalise(name):
        return f"{name!r} has no letter or digit: spell it as it is spoken."
    if re.search(r"[,;\n\t]", written.strip()):
        return f"{name!r} looks like several names: write one each; commas are not spoken."
    return None


def clean_name(line: int, written: str, problems: ListProblems) -> str | None:
    """Return a name with single spaces and without curly quotation marks, or report why not."""
    problem = name_problem(written)
    if problem is None:
        return tidy_name(written)
    problems.add(line, problem)
    return None


def checked_catalog(entries: Sequence[ListEntry], problems: ListProblems) -> ParsedCatalog:
    """Merge repeated names, mark ordinary words, and report names of two competitors."""
    warnings: list[str] = []
    merged = _merged(entries, problems, warnings)
    competitors: dict[str, Competitor] = {}
    for entry in merged:
        ambiguous = _is_ambiguous(entry, problems, warnings)
        competitors[entry.name] = Competitor(
            entry.name,
            entry.aliases,
            ambiguous=ambiguous,
            evidence=entry.evidence,
            own=entry.own,
            sells=entry.sells,
            sounds_like=entry.sounds_like,
        )
    lines = {entry.name: entry.line for entry in merged}
    pairs = form_conflicts(tuple(competitors.values()))
    conflicts = {(o.competitor.name, t.competitor.name): (o, t) for o, t in reversed(list(pairs))}
    for one, other in conflicts.values():
        problems.add(
            lines[other.competitor.name],
            f'"{other.alias}" of {other.competitor.name} sounds like "{one.alias}" of '
            f"{one.competitor.name} (line {lines[one.competitor.name]}): keep only one of them.",
        )
    problems.check()
    return ParsedCatalog(Catalog(tuple(competitors.values())), tuple(warnings))


def _merged(
    entries: Sequence[ListEntry], problems: ListProblems, warnings: list[str]
) -> Sequence[ListEntry]:
    by_sound: dict[str, ListEntry] = {}
    for entry in entries:
        first = by_sound.setdefault(normalise(entry.name), entry)
        if first is entry:
            continue
        same = replace(entry, line=first.line, name=first.name) == first
        if not (same or entry.is_bare or first.is_bare):
            problems.add(
                entry.line, f"{entry.name} is listed already at line {first.line}: merge them."
            )
            continue
        fuller = first if entry.is_bare else entry
        by_sound[normalise(entry.name)] = replace(fuller, line=first.line, name=first.name)
        warnings.append(
            f"line {entry.line}: {entry.name} is listed already as {first.name} (line "
            f"{first.line}): read as one."
        )
    return list(by_sound.values())


def _is_ambiguous(entry: ListEntry, problems: ListProblems, warnings: list[str]) -> bool:
    word = normalise(entry.name)
    if entry.ambiguous is not None:
        return entry.ambiguous
    if word in FUNCTION_WORDS:
        problems.add(
            entry.line,
            f"{entry.name!r} is a word of nearly every sentence: write a longer name, or state "
            "`ambiguous: true`.",
        )
    if word not in ORDINARY_WORDS:
        return False
    warnings.append(
        f"line {entry.line}: {entry.name} is also an ordinary word: read as ambiguous, so it "
        "counts only with evidence around it. State `ambiguous: false` to count it always."
    )
    return True
