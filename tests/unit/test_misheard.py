"""Suggestions of misheard names: runs of words, their scores and tiers, and the mining of calls."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pytest

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.misheard import (
    HeardCandidate,
    NameUse,
    RunText,
    ScoredAlias,
    SpeechRead,
    Tier,
    alias_letters,
    score_candidate,
)
from callpipeline.engines.phonetics.pronouncers import SpellingPronouncer
from callpipeline.engines.phonetics.resemblance import NameSounds
from callpipeline.pipeline.rematch.suggestions import AliasMiner, SuggestionReport
from callpipeline.storage.ports.suggestions import SpokenSegment

MANY = SpeechRead(calls=30, words=30_000, is_cased=True)


@dataclass
class FakeSpokenCalls:
    """Calls of one text each, the newest first."""

    texts: Mapping[str, str]
    refusals: Collection[tuple[str, str]] = ()

    def count(self) -> int:
        return len(self.texts)

    def newest(self, limit: int) -> Sequence[str]:
        return list(self.texts)[:limit]

    def segments(self, call_ids: Sequence[str]) -> Sequence[SpokenSegment]:
        return [SpokenSegment(call_id, 10.0, 20.0, self.texts[call_id]) for call_id in call_ids]

    def refused(self) -> Collection[tuple[str, str]]:
        return self.refusals


def sounds(names: Mapping[str, Sequence[str]]) -> NameSounds:
    return NameSounds(SpellingPronouncer(), names)


def mine(
    calls: FakeSpokenCalls, *competitors: Competitor, only: str | None = None, max_calls: int = 100
) -> SuggestionReport:
    return AliasMiner(calls, sounds).mine(Catalog(competitors), only=only, max_calls=max_calls)


def scored(
    alias: str, text: str, times: int = 1, *, read: SpeechRead = MANY, similarity: float = 0.9
) -> ScoredAlias:
    """Score an alias of Cyteva that is said in calls which name it, each with one such text."""
    candidate = HeardCandidate("Cyteva", alias_letters(alias), similarity)
    spoken, use = RunText(text), NameUse()
    for number in range(times):
        (run,) = spoken.runs({candidate.key: None})
        candidate.add(str(number), spoken, run, is_new=True)
        use.calls.add(str(number))
    return score_candidate(candidate, use, read)


def test_runs_have_one_to_four_words_and_no_punctuation_inside():
    text = RunText("From Site-Eva, Inc. it's")
    found = {" ".join(words) for _, words in text.lettered()}
    assert found == {"from", "from site", "from site eva", "site", "site eva"}
    (run,) = text.runs({"siteeva": None})
    assert (run.words, run.char_start, run.char_end) == (("site", "eva"), 5, 13)
    assert list(text.runs({"evainc": None})) == []


def test_unknown_words_like_a_name_are_automatic_with_evidence_in_words():
    found = scored("Sytevah", "We bought it from Sytevah last year.")
    assert found.tier is Tier.AUTOMATIC
    assert found.evidence == (
        "sounds 90% like Cyteva",
        "only in calls that name Cyteva",
        '"sytevah" is no known word',
    )


def test_ordinary_words_are_automatic_only_where_many_other_calls_lack_them():
    text = "We bought it from Short Smile last year."
    assert scored("Short Smile", text).tier is Tier.AUTOMATIC
    few = SpeechRead(calls=5, words=30_000, is_cased=True)
    assert scored("Short Smile", text, read=few).tier is Tier.TO_DECIDE


def test_ordinary_words_that_calls_without_the_name_have_are_not_automatic():
    candidate = HeardCandidate("Cyteva", "shortsmile", 0.95)
    text, use = RunText("We bought it from Short Smile."), NameUse({"a"})
    for call_id in ("a", "b"):
        (run,) = text.runs({"shortsmile": None})
        candidate.add(call_id, text, run, is_new=True)
    assert score_candidate(candidate, use, MANY).tier is not Tier.AUTOMATIC


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("smile", "We bought it from Smile last year."),  # one ordinary word
        ("sytevah and", "We bought it from Sytevah and others."),  # a word of every sentence
    ],
)
def test_words_that_say_little_are_never_automatic(alias: str, text: str):
    found = scored(alias, text, 3, similarity=1.0)
    assert found.tier is Tier.TO_DECIDE and found.score > 0.25


def test_what_sounds_little_alike_is_not_automatic():
    text = "We bought it from Sytevah last year."
    assert scored("Sytevah", text, similarity=0.73).tier is Tier.TO_DECIDE


def test_a_surname_scores_less():
    first = scored("Sytevah", "We bought it from old Sytevah last year.")
    second = scored("Sytevah", "We bought it from Steve Sytevah last year.")
    assert second.score < first.score - 1 and "follows a given name" in second.evidence


def test_capitals_matter_only_where_transcripts_have_them():
    lower = SpeechRead(calls=30, words=30_000, is_cased=False)
    text = "we bought it from sytevah last year"
    assert scored("sytevah", text, read=lower).score > scored("sytevah", text).score


CYTEVA = Competitor("Cyteva")
CALLS = FakeSpokenCalls(
    {
        "c1": "We compared Cyteva with others and Sytevah was the cheapest offer.",
        "c2": "Our contract with Sytevah, and then Cyteva called about the offer.",
        "c3": "There is a site for it.",
    }
)


def test_a_misheard_name_is_suggested_with_counts_and_quotes():
    report = mine(CALLS, CYTEVA)
    assert (report.calls_read, report.calls_stored, report.words_read) == (3, 3, 28)
    assert report.sounds == "rules of spelling"
    (found,) = report.suggestions
    assert (found.competitor, found.alias) == ("Cyteva", "sytevah")
    assert (found.occurrences, found.calls, found.new_mentions) == (2, 2, 2)
    first, second = found.quotes
    assert (first.call_id, second.call_id) == ("c1", "c2")
    assert (first.before[-4:], first.text, first.after[:4]) == ("and ", "Sytevah", " was")
    assert 10.0 < second.start_s < first.start_s < 20.0


def test_a_refused_alias_is_not_suggested():
    refused = FakeSpokenCalls(CALLS.texts, {("Cyteva", "sytevah")})
    assert mine(refused, CYTEVA).suggestions == ()  # nor "sytevah was"
    assert mine(FakeSpokenCalls(CALLS.texts, {("Sky", "sytevah")}), CYTEVA).suggestions != ()


def test_an_accepted_alias_is_not_suggested():
    assert mine(CALLS, Competitor("Cyteva", sounds_like=("sytevah",))).suggestions == ()


def test_only_the_newest_calls_are_read():
    report = mine(CALLS, CYTEVA, max_calls=1)
    assert (report.calls_read, report.calls_stored) == (1, 3)
    assert [each.occurrences for each in report.suggestions] == [1]


def test_a_run_is_suggested_for_one_name_only():
    text = "Pancho, Concho and Ponchow are three names."
    texts = {"a": text, "b": text}
    names = Competitor("Concho"), Competitor("Ponchow")
    found = mine(FakeSpokenCalls(texts), *names).suggestions
    assert [each.competitor for each in found if each.alias == "pancho"] == ["Ponchow"]
    assert "pancho" in {each.alias for each in mine(FakeSpokenCalls(texts), names[0]).suggestions}
    only = mine(FakeSpokenCalls(texts), *names, only="Concho").suggestions
    assert {each.competitor for each in only} == {"Concho"}


def test_a_part_of_a_name_is_no_misheard_name():
    texts = {"a": "We met Sandler, and Piper Sandler again.", "b": "Sandler and Pyper Sandler."}
    found = {
        each.alias for each in mine(FakeSpokenCalls(texts), Competitor("Piper Sandler")).suggestions
    }
    assert "pyper sandler" in found and "sandler" not in found


def test_other_spacing_of_a_name_is_suggested():
    texts = {"a": "We love Hershey bars, said her she about the price.", "b": "Hershey is fine."}
    found = {each.alias for each in mine(FakeSpokenCalls(texts), Competitor("Hershey")).suggestions}
    assert "her she" in found


def test_at_most_five_runs_of_a_name_are_put_to_a_person():
    spelt = ("Sytiva", "Setevo", "Sitevu", "Satevi", "Sotevah", "Sutevay", "Sitavee", "Seteva")
    texts = {name: f"we bought it from {name} once" for name in spelt}
    found = mine(FakeSpokenCalls(texts), CYTEVA).suggestions
    assert len([each for each in found if each.tier is Tier.TO_DECIDE]) == 5
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_an_ambiguous_name_is_not_mined_but_its_phrases_are():
    texts = {"a": "the Cyteva Plans offer, the Sytevah Plans offer and the Oringe offer"}
    orange = Competitor("Orange", ("Cyteva Plans",), ambiguous=True)
    found = {each.alias for each in mine(FakeSpokenCalls(texts), orange).suggestions}
    assert "sytevah plans" in found and "oringe" not in found
    plain = Competitor("Orange", ("Cyteva Plans",))
    assert "oringe" in {each.alias for each in mine(FakeSpokenCalls(texts), plain).suggestions}
