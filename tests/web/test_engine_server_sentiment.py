"""`/analyze` and `/patterns`: rules of the contract, and the judgements of the pipeline."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.sentiment import PatternKind
from callpipeline.domain.transcripts import interleave
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.lexicon import LexiconJudge
from callpipeline.errors import EngineUnavailable, SettingsInvalid
from callpipeline.storage.results.patterns import PatternFile
from tests.builders import a_transcript
from tests.fakes.engines import ScriptedJudge
from tests.web.engine_servers import Served, scripted, serving

CALL = (
    a_transcript(
        "are you leaving us for sky",
        "we are cheaper than vodafone and ee",
        channel=Channel.LEFT,
    ),
    a_transcript(
        "vodafone",
        "vodafone are rubbish but they were quick",
        "i moved from ee to vodafone because vodafone is great",
        channel=Channel.RIGHT,
    ),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, _env_file=None)  # pyright: ignore[reportCallIssue]
    with serving(settings, scripted(judge=LexiconJudge())) as served:
        yield served


@pytest.fixture
def patterned(served: Served) -> Iterator[Served]:
    yield served
    for kind in ("positive", "negative"):
        served.http.put(f"/patterns/{kind}", json={"patterns": []})


def transcript(*texts: str, **other: Any) -> dict[str, Any]:
    segments = [{"id": f"s{i}", "start": i, "end": i + 1, "text": t} for i, t in enumerate(texts)]
    return {"text": " ".join(texts), "segments": segments, **other}


def test_the_response_has_the_shape_of_the_contract(served: Served) -> None:
    sent = transcript("I am with O2", "O2 are rubbish", metadata={"ref-id": "r", "channel": "left"})
    reply = served.analyse("O2", sent).json()
    extensions = {"judgements", "channel", "speaker", "detection_details"}
    assert {k: v for k, v in reply["segments"][1].items() if k not in extensions} == {
        "segment-id": "s1",
        "start": 1.0,
        "end": 2.0,
        "text": "O2 are rubbish",
        "sentiment": "negative",
        "detection_method": "judge",
    }
    counts = [reply[name] for name in ("positive", "neutral", "negative")]
    assert (reply["context"], reply["overall_sentiment"], counts) == ("O2", "negative", [0, 1, 1])
    assert reply["metadata"] == {"ref-id": "r", "channel": "left"}
    assert reply["segments"][0]["speaker"] == "agent"


def test_an_uploaded_transcript_has_the_same_response(served: Served) -> None:
    sent = transcript("I am with O2", "O2 are rubbish")
    files = {"file": ("transcript.json", json.dumps(sent).encode())}
    reply = served.http.post("/analyze/contextual/file", files=files, data={"context": "O2"})
    assert reply.json() == served.analyse("O2", sent).json()


@pytest.mark.parametrize(
    "texts",
    [[], ["nothing of that kind"], ["I love tree houses"], ["EEL pie"], ["ee"], [""]],
)
def test_the_response_is_empty_if_the_name_is_not_mentioned(
    served: Served, texts: list[str]
) -> None:
    reply = served.analyse("EE", transcript(*texts))
    assert (reply.status_code, reply.json()) == (200, [])


def test_segment_ids_are_those_of_the_request_or_indexes(served: Served) -> None:
    ids = [{"id": 17}, {"segment-id": "a"}, {"segment_id": "b"}, {}]
    sent = {"segments": [each | {"text": "with EE now"} for each in ids]}
    reply = served.analyse("EE", sent).json()
    assert [segment["segment-id"] for segment in reply["segments"]] == [17, "a", "b", 3]


def test_the_same_mentions_get_the_same_judgements_as_in_the_pipeline(served: Served) -> None:
    names = ("Vodafone", "EE", "Sky")
    mentions = find_mentions(CALL, Matcher(Catalog(tuple(map(Competitor, names)))))
    conversation = Conversation(interleave(CALL))
    expected = asyncio.run(LexiconJudge().judge(conversation, mentions))
    sent = {
        "segments": [
            {
                "id": segment.index,
                "start": segment.start_s,
                "end": segment.end_s,
                "text": segment.text,
                "channel": segment.channel,
                "speaker": segment.speaker,
            }
            for segment in conversation.segments
        ],
        "mentions": [
            {
                "competitor": mention.competitor,
                "segment_id": mention.segment_index,
                "channel": mention.channel,
                "char_start": mention.char_start,
                "char_end": mention.char_end,
            }
            for mention in mentions
        ],
    }
    got = {}
    for name in names:
        for segment in served.analyse(name, sent).json()["segments"]:
            for each in segment["judgements"]:
                key = f"{segment['channel']}.{segment['segment-id']}.{each['char_start']}"
                got[f"{key}.{each['competitor']}"] = each
    assert len(got) == len(expected) == 8
    for judgement in expected:
        each = got[judgement.mention_id]
        for name in ("competitor", "sentiment", "score", "rule", "quote", "engine"):
            assert each[name] == getattr(judgement, name)
    assert len({judgement.sentiment for judgement in expected}) > 2


def test_invalid_mentions_are_rejected(served: Served) -> None:
    one = {"competitor": "EE", "segment_id": "s0", "char_start": 5, "char_end": 7}
    wrong = [
        [one | {"segment_id": "s9"}],
        [one | {"channel": "right"}],
        [one | {"char_start": 7}],
        [one | {"char_end": 99}],
        [one, one | {"competitor": "E"}],
    ]
    for mentions in wrong:
        reply = served.analyse("EE", transcript("with EE now", mentions=mentions))
        assert (reply.status_code, reply.json()["detail"][:9]) == (422, "mentions:")
    assert served.analyse("EE", transcript("with EE now", mentions=[one])).json()["neutral"] == 1


def test_patterns_decide_before_the_judge_and_negative_ones_first(patterned: Served) -> None:
    post = patterned.http.post
    post("/patterns/positive", json={"pattern": "top notch"})
    post("/patterns/negative", json={"patterns": ["rip off", "notch down"]})
    texts = [
        "EE is Top-Notch",
        "EE is a top notch rip-off",
        "EE atop notches here",
        "the top notch one",
    ]
    reply = patterned.analyse("EE", transcript(*texts)).json()
    found = [(s["sentiment"], s["detection_method"]) for s in reply["segments"]]
    assert found == [("positive", "pattern"), ("negative", "pattern"), ("neutral", "judge")]
    assert reply["segments"][1]["detection_details"] == "negative pattern: 'rip off'"


def test_the_judge_is_not_called_if_patterns_decide(settings: Settings) -> None:
    judge = ScriptedJudge()
    with serving(settings, scripted(judge=judge)) as served:
        served.http.post("/patterns/negative", json={"pattern": "bad"})
        served.analyse("EE", transcript("EE is bad"))
        assert judge.asked == []
        served.analyse("EE", transcript("EE is good"))
    assert judge.asked == ["EE"]


def test_patterns_are_listed_changed_and_deleted(patterned: Served) -> None:
    http = patterned.http
    assert http.get("/patterns/negative").json() == {"patterns": [], "count": 0}
    added = http.post("/patterns/negative", json={"pattern": "and/or worse"})
    assert added.json() == {"patterns": ["and/or worse"], "count": 1}
    assert http.post("/patterns/negative", json={"pattern": "And or worse"}).status_code == 400
    replaced = http.put("/patterns/negative", json={"patterns": ["a/b", "très cher", "100%"]})
    assert replaced.json()["count"] == 3
    assert http.put("/patterns/negative", json={"patterns": ["x", "X"]}).status_code == 400
    assert http.delete("/patterns/negative/a%2Fb").json()["count"] == 2
    assert http.delete("/patterns/negative/100%25").json() == {
        "patterns": ["très cher"],
        "count": 1,
    }
    missing = http.delete("/patterns/negative/never")
    assert missing.status_code == 404
    assert "never" not in missing.json()["detail"]
    assert http.get("/patterns/positive").json()["count"] == 0
    assert http.get("/patterns/sideways").status_code == 422
    for wrong in ({"pattern": ""}, {"pattern": "?!"}, {"pattern": "x" * 201}, {}, []):
        assert http.post("/patterns/negative", json=wrong).status_code == 422


def test_patterns_survive_a_restart_and_a_damaged_file_prevents_it(settings: Settings) -> None:
    with serving(settings) as served:
        served.http.post("/patterns/positive", json={"pattern": "ace"})
    file = settings.home / "engine-server" / "patterns.json"
    assert PatternFile(file).lists()[PatternKind.POSITIVE] == ("ace",)
    file.write_text('{"positive": 1}')
    with pytest.raises(SettingsInvalid, match="patterns.json"):
        PatternFile(file)


def test_an_unavailable_judge_is_a_transient_error(settings: Settings) -> None:
    judge = ScriptedJudge({"EE": EngineUnavailable("no answer")})
    with serving(settings, scripted(judge=judge)) as served:
        reply = served.analyse("EE", transcript("with EE now"))
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("They were brilliant. I would recommend them.", "positive"),
        ("it is far too expensive and it never works", "negative"),
        ("my account number is four", "neutral"),
        ("", "neutral"),
    ],
)
def test_the_overall_tone_of_a_text(served: Served, text: str, sentiment: str) -> None:
    reply = served.http.post("/analyze/overall", json={"text": text, "model": "llama3"}).json()
    assert reply["overall_sentiment"] == sentiment
    files = {"file": ("transcript.json", json.dumps(transcript(text)).encode())}
    assert served.http.post("/analyze/overall/file", files=files).json() == reply


def test_invalid_requests_are_rejected_without_quoting_them(served: Served) -> None:
    secret = "my pin is 1234"
    wrong: list[Any] = [
        {"context": "EE"},
        {"context": "", "transcript": {"segments": []}},
        {"context": "?!", "transcript": {"segments": [{"text": secret}]}},
        {"context": "EE", "transcript": {"segments": [{"text": [secret]}]}},
        {"context": "EE", "transcript": {"segments": [{"text": secret, "channel": secret}]}},
        {"context": "EE", "transcript": {"segments": secret}},
    ]
    for each in wrong:
        reply = served.http.post("/analyze/contextual", json=each)
        assert reply.status_code == 422
        assert isinstance(reply.json()["detail"], str)
        assert "pin" not in reply.text
    files = {"file": ("transcript.json", secret.encode())}
    reply = served.http.post("/analyze/contextual/file", files=files, data={"context": "EE"})
    assert (reply.status_code, "pin" in reply.text) == (422, False)


@pytest.mark.parametrize(
    "invalid",
    ['"start": NaN', '"start": Infinity', '"start": 1e999', '"start": ' + "9" * 400],
)
def test_an_invalid_time_is_rejected(served: Served, invalid: str) -> None:
    body = f'{{"context": "EE", "transcript": {{"segments": [{{"text": "well EE", {invalid}}}]}}}}'
    json_type = {"Content-Type": "application/json"}
    reply = served.http.post("/analyze/contextual", content=body, headers=json_type)
    assert (reply.status_code, "start" in reply.json()["detail"]) == (422, True)


@pytest.mark.parametrize("invalid", ["NaN", '"\\ud800"', '{"\\ud800": 1}'])
def test_metadata_that_are_not_valid_json_are_rejected(served: Served, invalid: str) -> None:
    segments = '"segments": [{"text": "well EE are good"}]'
    body = f'{{"context": "EE", "transcript": {{"metadata": {{"ref": {invalid}}}, {segments}}}}}'
    json_type = {"Content-Type": "application/json"}
    reply = served.http.post("/analyze/contextual", content=body, headers=json_type)
    assert reply.status_code == 422


def test_too_many_mentions_are_rejected(served: Served) -> None:
    reply = served.analyse("EE", transcript("ee " * 10_001))
    assert (reply.status_code, "more than 10000 mentions" in reply.json()["detail"]) == (422, True)


def test_the_tone_of_a_long_text_takes_seconds(served: Served) -> None:
    began_s = time.process_time()
    text = {"text": "good bad like " * 20_000}
    reply = served.http.post("/analyze/overall", json=text, timeout=600)
    assert reply.status_code == 200
    assert time.process_time() - began_s < 60


@effort(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    texts=st.lists(st.text(max_size=30) | st.just("well EE and ee's <target> E E"), max_size=4),
    context=st.sampled_from(["EE", "ee", "<other>", "three people", "É"]) | st.text(min_size=1),
)
def test_any_text_can_be_analysed(served: Served, texts: list[str], context: str) -> None:
    def sendable(text: str) -> str:
        return text.encode(errors="replace").decode()

    reply = served.analyse(sendable(context), transcript(*map(sendable, texts)))
    assert reply.status_code in (200, 422)
