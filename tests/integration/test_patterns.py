"""Sentiment patterns of users, stored in Postgres, and the judge that they precede."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from callpipeline.config import Settings
from callpipeline.domain.sentiment import (
    Judgement,
    PatternKind,
    PatternLists,
    Sentiment,
    UnjudgedMention,
)
from callpipeline.engines.ports import Conversation, PatternJudge
from callpipeline.errors import EngineUnavailable
from callpipeline.wiring import Storage, built_in_phrases, open_stages
from tests.builders import a_mention, a_segment
from tests.fakes.engines import ScriptedJudge
from tests.integration.calls import run_concurrently

NO_PATTERNS: PatternLists = dict.fromkeys(PatternKind, ())
TEXTS = ("vodafone was a rip-off, top notch", "sky is Top Notch!", "sky", "sky is what it is")
SEGMENTS = tuple(
    a_segment(text, index=at, channel=a_mention().channel) for at, text in enumerate(TEXTS)
)
MENTIONS = tuple(
    a_mention("Vodafone" if at == 0 else "Sky", segment_index=at) for at in range(len(TEXTS))
)
LISTS: PatternLists = {
    PatternKind.POSITIVE: ("top notch", "sky"),
    PatternKind.NEGATIVE: ("rip off",),
}


def judged(judge: PatternJudge, at: Sequence[int] = range(4)) -> Sequence[object]:
    return asyncio.run(judge.judge(Conversation(SEGMENTS), [MENTIONS[i] for i in at]))


def test_patterns_decide_first_and_negative_ones_before_positive_ones() -> None:
    judge = PatternJudge(ScriptedJudge(thinks={"Sky": Sentiment.NEGATIVE}), lambda: LISTS)
    found = [each for each in judged(judge) if isinstance(each, Judgement)]
    assert [(each.sentiment, each.engine) for each in found] == [
        (Sentiment.NEGATIVE, "pattern"),
        (Sentiment.POSITIVE, "pattern"),
        (Sentiment.NEGATIVE, "by hand"),  # a single word
        (Sentiment.POSITIVE, "pattern"),
    ]
    assert [each.mention_id for each in found] == [each.mention_id for each in MENTIONS]
    assert found[0].rule == "negative pattern: 'rip off'"
    assert judge.name == ScriptedJudge.name


def test_the_other_judge_is_not_asked_without_need() -> None:
    broken = ScriptedJudge({"Sky": EngineUnavailable("down")})
    judge = PatternJudge(broken, lambda: LISTS)
    assert all(isinstance(each, Judgement) for each in judged(judge, [0, 1, 3]))
    kinds = [type(each) for each in judged(judge)]
    assert kinds == [Judgement, Judgement, UnjudgedMention, Judgement]


def test_without_patterns_the_other_judge_decides_all() -> None:
    judge = PatternJudge(ScriptedJudge(), lambda: NO_PATTERNS)
    assert {each.engine for each in judged(judge) if isinstance(each, Judgement)} == {"by hand"}


def test_lists_are_stored_in_order(storage: Storage) -> None:
    patterns = storage.patterns
    assert patterns.lists() == NO_PATTERNS
    with patterns.changing(PatternKind.NEGATIVE) as negative:
        negative.extend(["b", "a", "très cher"])
    with patterns.changing(PatternKind.POSITIVE) as positive:
        positive.append("ace")
    with patterns.changing(PatternKind.NEGATIVE) as negative:
        negative.remove("b")
    assert patterns.lists() == {
        PatternKind.NEGATIVE: ("a", "très cher"),
        PatternKind.POSITIVE: ("ace",),
    }
    with suppress(KeyError), patterns.changing(PatternKind.POSITIVE) as positive:
        positive.clear()
        raise KeyError
    assert patterns.lists()[PatternKind.POSITIVE] == ("ace",), "an error changes nothing"


def test_concurrent_changes_are_all_kept(storage: Storage) -> None:
    def add(number: int) -> None:
        with storage.patterns.changing(PatternKind.POSITIVE) as positive:
            positive.append(f"word {number}")

    run_concurrently(8, add)
    assert sorted(storage.patterns.lists()[PatternKind.POSITIVE]) == [
        f"word {number}" for number in range(8)
    ]


def test_built_in_phrases_are_legible() -> None:
    for phrases in built_in_phrases().values():
        assert len(phrases) > 20
        assert all(phrase.strip() for phrase in phrases)
        assert not [phrase for phrase in phrases if set(phrase) & set("()[]{}?*+|\\")]
    assert "rubbish" in built_in_phrases()[PatternKind.NEGATIVE]
    assert "second to none" in built_in_phrases()[PatternKind.POSITIVE]


def test_runs_use_the_stored_patterns(storage: Storage, settings: Settings) -> None:
    with storage.patterns.changing(PatternKind.NEGATIVE) as negative:
        negative.append("rip off")
    options = settings.model_copy(update={"sentiment": "lexicon", "transcriber": "pocketsphinx"})
    with open_stages(options, storage) as stages:
        judge = stages.engines.judge
        judged = asyncio.run(judge.judge(Conversation(SEGMENTS), MENTIONS))
    assert judge.name == "lexicon"
    engines = [each.engine for each in judged if isinstance(each, Judgement)]
    assert engines == ["pattern", "lexicon", "lexicon", "lexicon"]
