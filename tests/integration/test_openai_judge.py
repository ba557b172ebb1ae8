"""Sentiment by a language model behind OpenAI-compatible servers of every kind, on real sockets."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment, Unjudged, Verdict
from callpipeline.domain.transcript import Segment
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.openai import OpenaiJudge
from callpipeline.errors import (
    CallpipelineError,
    EngineAway,
    EngineRefused,
    EngineUnavailable,
    MissingObject,
)
from tests.builders import a_mention, a_segment
from tests.fakes.obedient import ObedientModel, document_of, honestly
from tests.fakes.openai_service import open_service
from tests.fakes.services import FaultServer, Script
from tests.fakes.services.bodies import BROKEN_BODIES, changed
from tests.fakes.services.exchange import json_reply
from tests.fakes.services.faults import (
    BROKEN,
    RETRIED_STATUSES,
    STATUS_400,
    STATUS_401,
    STATUS_422,
    STATUS_429,
    STATUS_503,
    Fault,
    answering,
)
from tests.fakes.services.records import Arrival
from tests.fakes.services.shapes import WRONG_SHAPES

Judge = Callable[..., tuple[Verdict, ...]]
TEXTS = ("Vodafone was terrible.", "And Vodafone is brilliant now.")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(Script(chat=ObedientModel(), api_key="sk-1")) as server:
        yield server


@pytest.fixture
def judge(server: FaultServer) -> Iterator[Judge]:
    """Judge what a customer says with one judge, as often as a test likes."""
    with ExitStack() as stack:
        service = stack.enter_context(open_service("sentiment", server.url("chat"), key="sk-1"))
        made = OpenaiJudge(service, "gpt-test")

        def run(*texts: str) -> tuple[Verdict, ...]:
            segments = said(texts or TEXTS)
            return asyncio.run(made.judge(Conversation(tuple(segments)), mentions_in(segments)))

        yield run


def said(texts: Sequence[str]) -> list[Segment]:
    return [a_segment(text, index=n, channel=Channel.RIGHT) for n, text in enumerate(texts)]


def mentions_in(segments: Sequence[Segment]) -> list[Mention]:
    return [
        a_mention("Vodafone", segment_index=s.index, char_start=s.text.index("Vodafone"))
        for s in segments
        if "Vodafone" in s.text
    ]


def labels(verdicts: Sequence[Verdict]) -> list[Sentiment | None]:
    return [v.sentiment if isinstance(v, Judgement) else None for v in verdicts]


def bodies(server: FaultServer) -> list[dict[str, Any]]:
    return [arrival.json for arrival in server.requests("chat")]


def asks_for(**wanted: Any) -> Callable[[Arrival], bool]:
    """Requests with such a response_format, or such a field."""

    def matches(arrival: Arrival) -> bool:
        asked = arrival.json or {}
        known = asked | {"format": asked.get("response_format", {}).get("type")}
        return all(known.get(name, "none") in values for name, values in wanted.items())

    return matches


GOOD = [Sentiment.NEGATIVE, Sentiment.POSITIVE]


def test_all_mentions_of_a_speaker_are_one_request(server: FaultServer, judge: Judge) -> None:
    first, _ = judge()
    assert isinstance(first, Judgement)
    assert (first.sentiment, first.score, first.quote) == (
        Sentiment.NEGATIVE,
        -0.8,
        "Vodafone was terrible.",
    )
    assert (first.rule, first.engine) == ("language model: gpt-test", "openai gpt-test")
    [arrival] = server.requests("chat")
    assert (arrival.path, arrival.token) == ("/v1/chat/completions", "sk-1")
    body = arrival.json
    assert (body["model"], body["temperature"], body["seed"]) == ("gpt-test", 0.0, 1)
    assert body["response_format"]["json_schema"]["strict"] is True


def test_nothing_to_judge_is_not_asked(server: FaultServer, judge: Judge) -> None:
    assert judge("Hello.") == ()
    assert server.attempts("chat") == 0


@pytest.mark.parametrize("status", [STATUS_400, STATUS_422], ids=str)
@pytest.mark.parametrize(
    ("unknown", "formats"),
    [
        (("json_schema",), ["json_schema", "json_schema", "json_object", "json_object"]),
        (
            ("json_schema", "json_object"),
            ["json_schema", "json_schema", "json_object", "json_object", None, None],
        ),
    ],
)
def test_a_form_that_a_server_does_not_know_is_asked_for_once(
    server: FaultServer, judge: Judge, status: Fault, unknown: tuple[str, ...], formats: list[str]
) -> None:
    server.plan("chat", status, forever=True, where=asks_for(format=unknown))
    assert labels(judge()) == labels(judge()) == GOOD
    found = [body.get("response_format", {}).get("type") for body in bodies(server)]
    assert found == formats


def test_a_model_that_takes_no_temperature_keeps_the_schema(
    server: FaultServer, judge: Judge
) -> None:
    server.plan("chat", STATUS_400, forever=True, where=lambda a: "temperature" in a.json)
    judge()
    judge()
    last = bodies(server)[-1]
    assert len(bodies(server)) == 3
    assert "seed" not in last and last["response_format"]["type"] == "json_schema"


def test_text_that_a_filter_refuses_takes_the_schema_from_no_other(
    server: FaultServer, judge: Judge
) -> None:
    refusal = json_reply({"error": {"code": "content_filter", "message": "quotes the call"}}, 400)
    server.plan("chat", answering("filter", refusal))
    with pytest.raises(EngineRefused, match="its filter of contents") as refused:
        judge()
    assert "quotes" not in str(refused.value)
    judge()
    assert [b["response_format"]["type"] for b in bodies(server)] == ["json_schema"] * 2


def test_an_answer_that_is_refused_is_drawn_again(server: FaultServer, judge: Judge) -> None:
    asked = iter(["prose", '{"judgements": [{"id": 1}]}'])
    model = ObedientModel()
    server.script.chat = lambda request: next(asked, None) or model(request)
    assert labels(judge()) == GOOD
    drawn = [(body["temperature"], body["seed"]) for body in bodies(server)]
    assert drawn == [(0.0, 1), (0.4, 2), (0.8, 3)]
    assert len({body["messages"][1]["content"] for body in bodies(server)}) == 3


def test_what_was_well_judged_is_kept_and_only_the_rest_asked_for_again(
    server: FaultServer, judge: Judge
) -> None:
    def one_lie(request: dict[str, Any]) -> Any:
        document = document_of(request)
        honest = [honestly(mention, document["lines"]) for mention in document["mentions"]]
        lie = {"quote": "Vodafone is a dream"}
        return {"judgements": [j | (lie if "brilliant" in j["quote"] else {}) for j in honest]}

    server.script.chat = one_lie
    good, missing = judge()
    assert labels([good, missing]) == [Sentiment.NEGATIVE, None]
    assert isinstance(missing, Unjudged)
    assert (missing.error_class, missing.transient) == ("EngineUnavailable", True)
    assert "no judgement that a quote bears out" in missing.reason
    counts = [len(document_of(body)["mentions"]) for body in bodies(server)]
    assert counts == [2, 1, 1]


def test_where_nothing_is_well_judged_the_stage_fails(server: FaultServer, judge: Judge) -> None:
    server.script.chat = lambda _: "I would rather not."
    with pytest.raises(EngineUnavailable, match="in 3 tries the model gave no judgement"):
        judge()
    assert server.attempts("chat") == 3


def test_nothing_that_a_model_writes_is_in_what_is_kept(server: FaultServer, judge: Judge) -> None:
    def gossip(request: dict[str, Any]) -> Any:
        judgements = ObedientModel()(request)["judgements"]
        return {
            "judgements": [j | {"quote": j["quote"].upper(), "reason": "pwned"} for j in judgements]
        }

    server.script.chat = gossip
    quotes = [v.quote for v in judge() if isinstance(v, Judgement)]
    assert quotes == list(TEXTS)


def test_many_mentions_go_in_lots(server: FaultServer, judge: Judge) -> None:
    assert len(labels(judge(*TEXTS * 15))) == 30
    assert [len(document_of(body)["mentions"]) for body in bodies(server)] == [20, 10]


def test_a_long_call_is_shown_only_around_its_mentions(server: FaultServer, judge: Judge) -> None:
    idle = ["Our number is one two three."] * 400
    judge(*idle, *TEXTS, *idle)
    [body] = bodies(server)
    assert len(document_of(body)["lines"]) == 10
    assert len(json.dumps(body)) < 6000


def test_one_lot_that_fails_leaves_the_other(server: FaultServer, judge: Judge) -> None:
    server.plan(
        "chat", STATUS_503, times=3, where=lambda a: len(document_of(a.json)["mentions"]) < 20
    )
    verdicts = judge(*TEXTS * 15)
    assert labels(verdicts) == GOOD * 10 + [None] * 10
    assert {v.error_class for v in verdicts if isinstance(v, Unjudged)} == {"EngineAway"}


@pytest.mark.parametrize("fault", [STATUS_401, STATUS_429], ids=str)
def test_what_no_call_is_the_cause_of_makes_the_calls_wait(
    server: FaultServer, judge: Judge, fault: Fault
) -> None:
    server.plan("chat", fault, forever=True)
    with pytest.raises(EngineAway):
        judge()
    assert server.attempts("chat") == (1 if fault is STATUS_401 else 3)


@pytest.mark.parametrize(
    "change",
    [
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"message": {"content": None, "refusal": "I cannot"}},
        {"message": {"content": None, "tool_calls": [{"id": "1", "type": "function"}]}},
    ],
    ids=["cut", "filtered", "refused", "a tool"],
)
def test_what_is_no_answer_is_asked_for_again(
    server: FaultServer, judge: Judge, change: dict[str, Any]
) -> None:
    def spoil(answer: Any) -> Any:
        return answer | {"choices": [answer["choices"][0] | change]}

    server.plan("chat", changed("spoilt", spoil))
    assert labels(judge()) == GOOD
    assert server.attempts("chat") == 2


@pytest.mark.parametrize("fault", [*RETRIED_STATUSES, *BROKEN, *BROKEN_BODIES], ids=str)
def test_what_may_pass_is_asked_for_again(server: FaultServer, judge: Judge, fault: Fault) -> None:
    server.plan("chat", fault)
    assert labels(judge()) == GOOD
    assert server.attempts("chat") == 2


@pytest.mark.parametrize("fault", WRONG_SHAPES["chat"], ids=str)
def test_an_answer_of_another_shape_is_no_judgement(
    server: FaultServer, judge: Judge, fault: Fault
) -> None:
    server.plan("chat", fault, forever=True)
    with pytest.raises(CallpipelineError) as raised:
        judge()
    assert isinstance(raised.value, EngineRefused | EngineUnavailable)
    assert server.attempts("chat") <= 3


def test_mentions_of_other_words_are_refused_before_anything_is_sent(
    server: FaultServer, judge: Judge
) -> None:
    segments = said(["Vodafone"])
    stale = a_mention("Vodafone", char_start=900)
    with open_service("sentiment", server.url("chat")) as service:
        work = OpenaiJudge(service, "m").judge(Conversation(tuple(segments)), [stale])
        with pytest.raises(MissingObject, match="older transcript"):
            asyncio.run(work)
    assert server.attempts("chat") == 0
