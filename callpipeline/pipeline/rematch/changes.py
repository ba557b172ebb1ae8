"""Changes of one call's results under another catalog: the one answer to preview and apply."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callpipeline.domain.audio import Channel
from callpipeline.domain.competitors.find_mentions import Answers, find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Decision, Mention
from callpipeline.storage.ports.rematch import RematchInput
from callpipeline.storage.ports.results import MAX_REVIEW_SHIFT_S


@dataclass(frozen=True, slots=True)
class CallChanges:
    """The mentions of a call under another catalog, and how they differ from the stored ones.

    `changed` are new or different by the rules; `gone` were found before. `counted` are the ids
    that count, after the decisions of people. `dropped` mentions lose their judgement; with the
    context that it was made in. `outdated` ones did not count, and would be judged otherwise now.
    `judged_in` are the contexts of mentions to judge.
    """

    found: tuple[Mention, ...]
    changed: tuple[Mention, ...]
    gone: tuple[Mention, ...]
    counted: frozenset[str]
    dropped: Mapping[str, str]
    outdated: frozenset[str]
    judged_in: Mapping[str, str]

    @property
    def is_changed(self) -> bool:
        return bool(self.changed or self.gone or self.dropped or self.judged_in)


def find_changes(
    stored: RematchInput, matcher: Matcher, answers: Answers, *, judges_all: bool = False
) -> CallChanges:
    """Find the mentions of a call again, and compare them with the stored ones.

    A judgement is kept if its mention, its segment and the other names that count in the segment
    are the same; with `judges_all`, none is kept.
    """
    found = find_mentions(stored.transcripts, matcher, stored.speech, answers)
    before = {mention.mention_id: mention for mention in stored.mentions}
    after = {mention.mention_id: mention for mention in found}
    counted = frozenset(
        id_ for id_, mention in after.items() if _counts(mention, stored.decisions.get(id_))
    )
    texts = {
        (segment.channel, segment.index): segment.text
        for transcript in stored.transcripts
        for segment in transcript.segments
    }
    old = _contexts([before[id_] for id_ in stored.counted], texts)
    new = _contexts([after[id_] for id_ in counted], texts)
    is_kept = {id_ for id_, context in new.items() if old.get(id_) == context and not judges_all}
    # A mention that a person dismissed has lost its judgement already: it is set aside.
    dropped = {id_: old.get(id_, "") for id_ in old if id_ not in is_kept}
    return CallChanges(
        found=found,
        changed=tuple(mention for id_, mention in after.items() if before.get(id_) != mention),
        gone=tuple(mention for id_, mention in before.items() if id_ not in after),
        counted=counted,
        dropped=dropped,
        outdated=frozenset(
            id_
            for id_ in stored.decisions.keys() & before.keys() - stored.counted
            if _context_if_counted(before.get(id_), before, stored.counted, texts)
            != _context_if_counted(after.get(id_), after, counted, texts)
        ),
        judged_in={id_: context for id_, context in new.items() if id_ not in is_kept},
    )


def _counts(mention: Mention, decision: tuple[Decision, float] | None) -> bool:
    """Return whether a mention counts after a person's decision on this word."""
    if decision is None or abs(mention.start_s - decision[1]) > MAX_REVIEW_SHIFT_S:
        return mention.counts
    if decision[0] is Decision.RESET:
        return mention.counts
    return decision[0] is Decision.CONFIRMED


def _context_if_counted(
    mention: Mention | None,
    mentions: Mapping[str, Mention],
    counted: frozenset[str],
    texts: Mapping[tuple[Channel, int], str],
) -> str | None:
    """Return what a mention would be judged by if it counted, too; None without it."""
    if mention is None:
        return None
    place = (mention.channel, mention.segment_index)
    near = [each for each in mentions.values() if (each.channel, each.segment_index) == place]
    named = [each for each in near if each.mention_id in counted | {mention.mention_id}]
    return _contexts(named, texts)[mention.mention_id]


def _contexts(
    mentions: Sequence[Mention], texts: Mapping[tuple[Channel, int], str]
) -> dict[str, str]:
    """Return a hash of what each mention is judged by: its segment, and the names in it."""
    by_segment: dict[tuple[Channel, int], list[Mention]] = {}
    for mention in mentions:
        by_segment.setdefault((mention.channel, mention.segment_index), []).append(mention)
    contexts: dict[str, str] = {}
    for place, named in by_segment.items():
        names = sorted(
            (m.mention_id, m.competitor, m.text, m.char_end, str(m.speaker)) for m in named
        )
        content = json.dumps([texts.get(place, ""), names]).encode("utf-8", "replace")
        context = hashlib.sha256(content).hexdigest()[:32]
        contexts |= {mention.mention_id: context for mention in named}
    return contexts
