"""Sentiment by a language model behind OpenAI-compatible servers, on real sockets."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, JudgeResult, Sentiment, UnjudgedMention
from callpipeline.domain.transcripts import Segment
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.openai import OpenaiJudge
from callpipeline.errors import (
    CallpipelineError,
    EngineRefused,
    EngineUnavailable,
    MissingObject,
    ServiceUnavailable,
)
from tests.builders import a_mention, a_segment
from tests.fakes.obedient import ObedientModel, document_of, honestly, text_of
from tests.fakes.openai_service import open_service
from tests.fakes.services import FaultServer, Script
from tests.fakes.services.bodies import BROKEN_BODIES, with_change
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
    fixed_reply,
)
from tests.fakes.services.records import RecordedRequest
from tests.fakes.services.shapes import WRONG_SHAPES

Judge = Callable[..., tuple[JudgeResult, ...]]
TEXTS = ("Vodafone was terrible.", "And Vodafone is brilliant now.")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(Script(chat=ObedientModel(), api_key="sk-1")) as server:
        yield server


@pytest.fixture
def judge(server: FaultServer) -> Iterator[Judge]:
    """Return a function that judges the segments of a customer, always with the same judge."""
    with ExitStack() as stack:
        service = stack.enter_context(open_service("sentiment", server.url("chat"), key="sk-1"))
        openai = OpenaiJudge(service, "gpt-test")

        def run(*texts: str) -> tuple[JudgeResult, ...]:
            segments = segments_of(texts or TEXTS)
            return asyncio.run(openai.judge(Conversation(tuple(segments)), mentions_in(segments)))

        yield run


def segments_of(texts: Sequence[str]) -> list[Segment]:
    return [a_segment(text, index=n, channel=Channel.RIGHT) for n, text in enumerate(texts)]


def mentions_in(segments: Sequence[Segment]) -> list[Mention]:
    return [
        a_mention("Vodafone", segment_index=s.index, char_start=s.text.index("Vodafone"))
        for s in segments
        if "Vodafone" in s.text
    ]


def labels(verdicts: Sequence[JudgeResult]) -> list[Sentiment | None]:
    return [v.sentiment if isinstance(v, Judgement) else None for v in verdicts]


def bodies(server: FaultServer) -> list[dict[str, Any]]:
    return [arrival.json for arrival in server.requests("chat")]


def with_fields(**wanted: Any) -> Callable[[RecordedRequest], bool]:
    """Match requests with one of these response formats, or values of a field."""

    def matches(arrival: RecordedRequest) -> bool:
        body = arrival.json or {}
        fields = body | {"format": body.get("response_format", {}).get("type")}
        return all(fields.get(name, "none") in values for name, values in wanted.items())

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


def test_without_mentions_no_request_is_sent(server: FaultServer, judge: Judge) -> None:
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
def test_an_unsupported_response_format_is_requested_once(
    server: FaultServer, judge: Judge, status: Fault, unknown: tuple[str, ...], formats: list[str]
) -> None:
    server.plan("chat", status, forever=True, where=with_fields(format=unknown))
    assert labels(judge()) == labels(judge()) == GOOD
    found = [body.get("response_format", {}).get("type") for body in bodies(server)]
    assert found == formats


def test_a_model_without_temperature_still_gets_the_schema(
    server: FaultServer, judge: Judge
) -> None:
    server.plan("chat", STATUS_400, forever=True, where=lambda a: "temperature" in a.json)
    judge()
    judge()
    last = bodies(server)[-1]
    assert len(bodies(server)) == 3
    assert "seed" not in last and last["response_format"]["type"] == "json_schema"


def test_a_content_filter_does_not_disable_the_schema(server: FaultServer, judge: Judge) -> None:
    refusal = json_reply({"error": {"code": "content_filter", "message": "quotes the call"}}, 400)
    server.plan("chat", fixed_reply("filter", refusal))
    with pytest.raises(EngineRefused, match="its content filter") as refused:
        judge()
    assert "quotes" not in str(refused.value)
    judge()
    assert [b["response_format"]["type"] for b in bodies(server)] == ["json_schema"] * 2


def test_an_invalid_answer_is_sampled_again(server: FaultServer, judge: Judge) -> None:
    answers = iter(["prose", '{"judgements": [{"id": 1}]}'])
    model = ObedientModel()
    server.script.chat = lambda request: next(answers, None) or model(request)
    assert labels(judge()) == GOOD
    samples = [(body["temperature"], body["seed"]) for body in bodies(server)]
    assert samples == [(0.0, 1), (0.4, 2), (0.8, 3)]
    assert len({body["messages"][1]["content"] for body in bodies(server)}) == 3


def test_only_mentions_without_valid_judgement_are_sent_again(
    server: FaultServer, judge: Judge
) -> None:
    def one_lie(request: dict[str, Any]) -> Any:
        document = document_of(request)
        honest = [honestly(mention, document["lines"]) for mention in document["mentions"]]
        lie = {"quote": "Vodafone is a dream"}
        return {"judgements": [j | (lie if j["sentiment"] == "positive" else {}) for j in honest]}

    server.script.chat = one_lie
    good, missing = judge()
    assert labels([good, missing]) == [Sentiment.NEGATIVE, None]
    assert isinstance(missing, UnjudgedMention)
    assert (missing.error_class, missing.transient) == ("EngineUnavailable", True)
    assert "no judgement with a valid quote" in missing.reason
    counts = [len(document_of(body)["mentions"]) for body in bodies(server)]
    assert counts == [2, 1, 1]


def test_without_any_valid_judgement_the_stage_fails(server: FaultServer, judge: Judge) -> None:
    server.script.chat = lambda _: "I would rather not."
    with pytest.raises(EngineUnavailable, match="no judgement with a valid quote in 3 attempts"):
        judge()
    assert server.attempts("chat") == 3


def test_no_text_of_the_model_is_stored(server: FaultServer, judge: Judge) -> None:
    def talkative(request: dict[str, Any]) -> Any:
        lines = document_of(request)["lines"]
        judgements = ObedientModel()(request)["judgements"]
        return {
            "judgements": [
                j | {"quote": text_of({"line": j["quote"]}, lines).upper(), "reason": "pwned"}
                for j in judgements
            ]
        }

    server.script.chat = talkative
    quotes = [v.quote for v in judge() if isinstance(v, Judgement)]
    assert quotes == list(TEXTS)


def test_many_mentions_are_sent_in_batches(server: FaultServer, judge: Judge) -> None:
    assert len(labels(judge(*TEXTS * 15))) == 30
    assert [len(document_of(body)["mentions"]) for body in bodies(server)] == [20, 10]


def test_only_the_lines_around_mentions_of_a_long_call_are_sent(
    server: FaultServer, judge: Judge
) -> None:
    idle = ["Our number is one two three."] * 400
    judge(*idle, *TEXTS, *idle)
    [body] = bodies(server)
    assert len(document_of(body)["lines"]) == 10
    assert len(json.dumps(body)) < 6000


def test_a_failed_batch_does_not_affect_another(server: FaultServer, judge: Judge) -> None:
    server.plan(
        "chat", STATUS_503, times=3, where=lambda a: len(document_of(a.json)["mentions"]) < 20
    )
    verdicts = judge(*TEXTS * 15)
    assert labels(verdicts) == GOOD * 10 + [None] * 10
    assert {v.error_class for v in verdicts if isinstance(v, UnjudgedMention)} == {
        "ServiceUnavailable"
    }


@pytest.mark.parametrize("fault", [STATUS_401, STATUS_429], ids=str)
def test_failures_that_no_call_causes_make_the_service_unavailable(
    server: FaultServer, judge: Judge, fault: Fault
) -> None:
    server.plan("chat", fault, forever=True)
    with pytest.raises(ServiceUnavailable):
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
    ids=["truncated", "filtered", "refused", "a tool"],
)
def test_an_unusable_answer_is_requested_again(
    server: FaultServer, judge: Judge, change: dict[str, Any]
) -> None:
    def change_choice(answer: Any) -> Any:
        return answer | {"choices": [answer["choices"][0] | change]}

    server.plan("chat", with_change("changed", change_choice))
    assert labels(judge()) == GOOD
    assert server.attempts("chat") == 2


@pytest.mark.parametrize("fault", [*RETRIED_STATUSES, *BROKEN, *BROKEN_BODIES], ids=str)
def test_transient_failures_are_retried(server: FaultServer, judge: Judge, fault: Fault) -> None:
    server.plan("chat", fault)
    assert labels(judge()) == GOOD
    assert server.attempts("chat") == 2


@pytest.mark.parametrize("fault", WRONG_SHAPES["chat"], ids=str)
def test_a_response_of_another_shape_is_no_judgement(
    server: FaultServer, judge: Judge, fault: Fault
) -> None:
    server.plan("chat", fault, forever=True)
    with pytest.raises(CallpipelineError) as raised:
        judge()
    assert isinstance(raised.value, EngineRefused | EngineUnavailable)
    assert server.attempts("chat") <= 3


def test_mentions_of_another_transcript_are_rejected_before_any_request(
    server: FaultServer, judge: Judge
) -> None:
    segments = segments_of(["Vodafone"])
    stale = a_mention("Vodafone", char_start=900)
    with open_service("sentiment", server.url("chat")) as service:
        work = OpenaiJudge(service, "m").judge(Conversation(tuple(segments)), [stale])
        with pytest.raises(MissingObject, match="older transcript"):
            asyncio.run(work)
    assert server.attempts("chat") == 0


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of each mention in an answer, by its id."""
    schema = body["response_format"]["json_schema"]["schema"]
    judgements = schema["properties"]["judgements"]
    assert schema["additionalProperties"] is judgements["additionalProperties"] is False
    assert judgements["required"] == list(judgements["properties"])
    return judgements["properties"]


def test_the_schema_has_the_ids_and_lines_of_the_request(server: FaultServer, judge: Judge) -> None:
    judge("Honestly the last lot were fine, but Vodafone was terrible.", "Vodafone? No.")
    [body] = bodies(server)
    document = document_of(body)
    texts = {line["line"]: line["text"] for line in document["lines"]}
    assert list(texts.values()) == [
        "Honestly the last lot were fine,", "but Vodafone was terrible.", "Vodafone?", "No.",
    ]  # fmt: skip
    assert [texts[m["line"]] for m in document["mentions"]] == [
        "but Vodafone was terrible.", "Vodafone?",
    ]  # fmt: skip
    schema = schema_of(body)
    assert list(schema) == [str(mention["id"]) for mention in document["mentions"]]
    for each in schema.values():
        assert each["properties"]["quote"] == {"type": "integer", "enum": list(texts)}
        assert each["required"] == ["quote", "sentiment", "score"]


def test_a_schema_stays_below_the_limit_of_values(server: FaultServer, judge: Judge) -> None:
    judge(*["Well, I tell you, so there, but no, and then, Vodafone was terrible."] * 20)
    [body] = bodies(server)
    offered = [each["properties"]["quote"]["enum"] for each in schema_of(body).values()]
    assert len(offered) == 20 and max(map(len, offered)) == 20
    own = [mention["line"] for mention in document_of(body)["mentions"]]
    assert all(line in lines for line, lines in zip(own, offered, strict=True))


def keyed(request: dict[str, Any], **other: Any) -> Any:
    """Answer in the shape of the schema."""
    document = document_of(request)
    honest = [honestly(mention, document["lines"]) for mention in document["mentions"]]
    return {"judgements": {str(j.pop("id")): j | other for j in honest}}


def test_an_answer_in_the_shape_of_the_schema_is_read(server: FaultServer, judge: Judge) -> None:
    server.script.chat = keyed
    verdicts = judge("We tried it, and Vodafone was terrible, so there you are.")
    assert [v.quote for v in verdicts if isinstance(v, Judgement)] == ["and Vodafone was terrible,"]


def correction_of(body: dict[str, Any]) -> str:
    """Return what a request says of answers before, behind the document and its instruction."""
    return body["messages"][1]["content"].rpartition("\nEND ")[2].partition("\n\n")[2]


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({"quote": 77}, "no number of a line"),
        ({"quote": -1}, "no number of a line"),
        ({"quote": 10**30}, "no number of a line"),
        ({"quote": "pwned by words"}, "no number of a line"),
        ({"quote": 1}, "no number of a line"),
        ({"quote": True}, "no entry with a quote"),
        ({"quote": [2]}, "no entry with a quote"),
        ({"sentiment": "pwned"}, "no entry with a quote"),
    ],
    ids=str,
)
def test_the_next_request_names_what_was_wrong(
    server: FaultServer, judge: Judge, other: dict[str, Any], fault: str
) -> None:
    """The first line is further than thirty words from the name."""
    far = "Good morning there. " + "one two three four five six seven eight nine ten " * 4
    answers = iter([other])
    server.script.chat = lambda request: keyed(request, **next(answers, {}))
    assert labels(judge(f"{far}Vodafone was terrible.")) == [Sentiment.NEGATIVE]
    first, second = bodies(server)
    assert len(first["messages"]) == 2
    assert [message["role"] for message in second["messages"]] == ["system", "user"]
    [mention] = document_of(second)["mentions"]
    correction = correction_of(second)
    assert f"mention {mention['id']}: " in correction and fault in correction
    assert "pwned" not in correction and "Vodafone" not in correction


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("I would rather not.", "not JSON"),
        ('{"judgements": {"1": {"quote": 1, "quote": 2}}}', "judges a mention twice"),
        ('{"judgements": {"1": null}}', "was not requested"),
        ('{"judgements": {"x": {"quote": 1}}}', "was not requested"),
        ('{"judgements": {}}', "no entry with a quote"),
        ('{"judgements": 3}', "has no judgements"),
    ],
)
def test_an_answer_that_is_rejected_whole_is_named_for_all_mentions(
    server: FaultServer, judge: Judge, answer: str, fault: str
) -> None:
    answers = iter([answer])
    server.script.chat = lambda request: next(answers, None) or keyed(request)
    assert labels(judge()) == GOOD
    correction = correction_of(bodies(server)[1])
    ids = [str(mention["id"]) for mention in document_of(bodies(server)[1])["mentions"]]
    assert f"mention {', '.join(ids)}: " in correction and fault in correction


def test_a_corrected_mention_is_not_named_again(server: FaultServer, judge: Judge) -> None:
    def first_fails(request: dict[str, Any]) -> Any:
        answer = keyed(request)["judgements"]
        if len(answer) == 2:
            first = next(iter(answer))
            answer[first]["quote"] = 99
        return {"judgements": answer}

    server.script.chat = first_fails
    assert labels(judge()) == GOOD
    _, second = bodies(server)
    [mention] = document_of(second)["mentions"]
    named = correction_of(second).splitlines()[1:]
    assert [line.partition(":")[0] for line in named] == [f"- mention {mention['id']}"]
