"""The encoder's judgement of where an ambiguous name stands, with the network of the package."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.disambiguation.context import MentionContext
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.domain.utterances import TargetContext
from callpipeline.engines.encoder.network import OTHER_COMPANY, CompanySlotScorer, UtteranceEncoder

ENCODER = UtteranceEncoder()
NAMES = Path(__file__).parents[1] / "data" / "names"
TRAINING = Path(__file__).parents[2] / "training" / "encoder"
CATALOG = Catalog((Competitor("Rain", ambiguous=True), Competitor("Vodafone")))


class Recorder(UtteranceEncoder):
    """Keeps the contexts that it is asked about, and takes all for companies."""

    def __init__(self, log_odds: float = 3.0) -> None:
        super().__init__()
        self.log_odds = log_odds
        self.asked: list[TargetContext] = []

    def company_log_odds(self, contexts: Sequence[TargetContext]) -> list[float]:
        self.asked += contexts
        return [self.log_odds] * len(contexts)


def said(text: str, asked: str = "") -> list[Transcript]:
    question = Segment(0, 0.0, 2.0, Channel.LEFT, Speaker.AGENT, asked)
    answer = Segment(0, 3.0, 5.0, Channel.RIGHT, Speaker.CUSTOMER, text)
    return [
        Transcript(Channel.LEFT, Speaker.AGENT, "by hand", (question,) if asked else ()),
        Transcript(Channel.RIGHT, Speaker.CUSTOMER, "by hand", (answer,)),
    ]


def find(text: str, encoder: UtteranceEncoder, asked: str = "") -> list[Mention]:
    matcher = Matcher(CATALOG, CompanySlotScorer(encoder))
    found = find_mentions(said(text, asked), matcher)
    return [mention for mention in found if mention.competitor == "Rain"]


def trained_names() -> set[str]:
    """Return the names of the training data in lower case."""
    filled = (TRAINING / "names.txt").read_text(encoding="utf-8").split(",")
    files = (TRAINING / "names").glob("*.txt")
    lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return {name.strip().lower() for name in (*filled, *(line.split("|")[0] for line in lines))}


@pytest.mark.parametrize("file", ["telecom", "other", "fit"])
def test_names_that_were_never_trained_are_told_from_ordinary_words(file: str) -> None:
    trained, right = trained_names(), list[bool]()
    for line in (NAMES / f"{file}.txt").read_text(encoding="utf-8").splitlines():
        name, label, text = line.split("|")
        if name.lower() in trained:
            continue
        before, written, after = text.replace("]", "[").split("[")
        context = TargetContext(before, written, after, Speaker.CUSTOMER)
        [log_odds] = ENCODER.company_log_odds([context])
        right.append((log_odds > 0) == (label == "1"))
    assert len(right) > 80
    assert sum(right) / len(right) >= 0.85


def test_the_sentence_decides_about_a_word_in_lower_case() -> None:
    [company] = find("we have been with rain for about two years now", ENCODER)
    [weather] = find("we have had rain for about two weeks now", ENCODER)
    assert company.log_odds is not None and weather.log_odds is not None
    assert company.log_odds > weather.log_odds + 2
    assert company.status is MentionStatus.COUNTED
    assert not weather.counts


def test_the_encoder_sees_the_sentence_and_the_question_before_it() -> None:
    recorder = Recorder()
    find("It's fine. I left Vodafone for rain's bundle. Thanks.", recorder, "Who are you with?")
    [asked] = recorder.asked
    assert (asked.left, asked.name) == (f"I left {OTHER_COMPANY} for", "rain")
    assert asked.right.startswith("'s bundle")
    assert [(turn.speaker, turn.text) for turn in asked.before] == [
        (Speaker.AGENT, "who are you with ?")
    ]


@pytest.mark.parametrize(
    ("log_odds", "status"), [(5.0, MentionStatus.COUNTED), (-5.0, MentionStatus.NEEDS_REVIEW)]
)
def test_its_judgement_is_part_of_the_sum(log_odds: float, status: MentionStatus) -> None:
    [mention] = find("so that is what I have got from rain", Recorder(log_odds))
    assert mention.status is status
    assert "its place in the sentence" in mention.reason


def test_plain_figures_are_not_asked_about() -> None:
    asked: list[MentionContext] = []

    def slots(contexts: Sequence[MentionContext]) -> list[float]:
        asked.extend(contexts)
        return [5.0] * len(contexts)

    matcher = Matcher(Catalog((Competitor("Three", ambiguous=True),)), slots)
    mentions = find_mentions(said("I waited three months for three to answer"), matcher)
    assert len(mentions) == 2
    assert mentions[0].status is MentionStatus.DISMISSED
    assert [context.after[0] for context in asked] == ["to"]


@pytest.mark.parametrize("trade", ["telecom", "other"])
@pytest.mark.parametrize(("is_lower", "least_recall"), [(False, 0.75), (True, 0.55)])
def test_with_it_most_names_of_a_trade_count_by_themselves(
    trade: str, is_lower: bool, least_recall: float
) -> None:
    right = wrong = companies = 0
    for line in (NAMES / f"{trade}.txt").read_text(encoding="utf-8").splitlines():
        name, label, marked = line.split("|")
        text = marked.replace("[", "").replace("]", "")
        matcher = Matcher(Catalog((Competitor(name, ambiguous=True),)), CompanySlotScorer(ENCODER))
        found = find_mentions(said(text.lower() if is_lower else text), matcher)
        counts = next(m.counts for m in found if m.char_start == marked.index("["))
        companies += label == "1"
        right += counts and label == "1"
        wrong += counts and label == "0"
    assert right / (right + wrong) >= 0.95
    assert right / companies >= least_recall


def test_unambiguous_names_need_no_encoder() -> None:
    recorder = Recorder()
    find("I left Vodafone", recorder)
    assert recorder.asked == []
