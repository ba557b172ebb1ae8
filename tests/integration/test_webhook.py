"""The webhook: the contract's JSON, verifiable signatures, limits and unsubscribing."""

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from callpipeline.domain.notifications import EventKind, Severity
from callpipeline.errors import DeliveryRefused, ReceiverGone, SettingsInvalid
from callpipeline.notify.webhook import WebhookNotifier, signature_headers, signing_keys
from tests.builders import a_message
from tests.fakes.receivers import Answer, HttpReceiver
from tests.processes import free_port

OLD, NEW = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
CONTRACT = {
    "type",
    "severity",
    "title",
    "message",
    "job_id",
    "job_filename",
    "error_message",
    "stack_trace",
    "metadata",
    "timestamp",
}


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver().running() as running:
        yield running


def notifier(receiver: HttpReceiver, secret: str = "", limit_s: float = 15.0) -> WebhookNotifier:
    return WebhookNotifier(f"{receiver.url}/hook", signing_keys(secret), limit_s=limit_s)


def test_the_document_follows_the_contract(receiver: HttpReceiver) -> None:
    notifier(receiver).send(a_message(error_message="the recogniser is away"))
    document = receiver.requests[0].json
    assert set(document) == CONTRACT
    assert document["type"] == "job_failed"
    assert document["severity"] == "error"
    assert document["job_filename"] == "call-0.wav"
    assert document["error_message"] == "the recogniser is away"
    assert datetime.fromisoformat(document["timestamp"]).tzinfo


@pytest.mark.parametrize(
    ("kind", "type"),
    [
        (EventKind.CALL_COMPLETED, "job_completed"),
        (EventKind.ENGINE_DOWN, "system_error"),
        (EventKind.CUSTOM, "custom"),
    ],
)
def test_each_event_has_a_type_of_the_contract(
    receiver: HttpReceiver, kind: EventKind, type: str
) -> None:
    notifier(receiver).send(a_message(kind=kind, severity=Severity.INFO, calls=0))
    assert receiver.requests[0].json["type"] == type
    assert receiver.requests[0].json["job_id"] is None


def test_both_secrets_sign_during_a_rotation(receiver: HttpReceiver) -> None:
    notifier(receiver, f"{NEW}, {OLD}").send(a_message())
    [request] = receiver.requests
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(request.body, dict(request.headers))["type"] == "job_failed"
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"x" * 32).decode()).verify(request.body, dict(request.headers))


def test_a_changed_body_or_time_invalidates_the_signature() -> None:
    [key], now = signing_keys(NEW), datetime.now(UTC)
    headers = signature_headers("id", now, b'{"a": 1}', [key])
    assert Webhook(NEW).verify(b'{"a": 1}', headers) == {"a": 1}
    for body, changed in ((b'{"a": 2}', headers), (b'{"a": 1}', headers | {"webhook-id": "other"})):
        with pytest.raises(WebhookVerificationError):
            Webhook(NEW).verify(body, changed)


def test_the_id_is_the_same_in_every_attempt(receiver: HttpReceiver) -> None:
    receiver.answers = [Answer(500)]
    with pytest.raises(DeliveryRefused):
        notifier(receiver).send(a_message())
    notifier(receiver).send(a_message())
    ids = {request.headers["webhook-id"] for request in receiver.requests}
    assert ids == {a_message().notification_id}


@pytest.mark.parametrize("secret", ["short", "whsec_", "not base64 at all!!", "whsec_YWJj"])
def test_an_invalid_secret_is_refused_with_instructions(secret: str) -> None:
    with pytest.raises(SettingsInvalid, match="openssl rand") as refused:
        signing_keys(secret if secret != "whsec_" else "whsec_,")
    assert "YWJj" not in str(refused.value)


def test_a_missing_receiver_is_reported_with_host_and_reason() -> None:
    alone = WebhookNotifier(f"http://127.0.0.1:{free_port()}/hook?token=planted")
    with pytest.raises(DeliveryRefused) as refused:
        alone.send(a_message())
    assert alone.destination.startswith("http://127.0.0.1:")
    assert "planted" not in f"{alone.destination} {refused.value}"


@pytest.mark.parametrize("url", ["ftp://somewhere/secret", "https://[::1", "", "https:///x"])
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="NOTIFY_WEBHOOK_URL"):
        WebhookNotifier(url)


@pytest.mark.parametrize("status", [199 + 101, 302, 400, 401, 404, 429, 500, 503])
def test_only_2xx_is_success(receiver: HttpReceiver, status: int) -> None:
    receiver.answers = [Answer(status, b"why not", {"Location": f"{receiver.url}/elsewhere"})]
    with pytest.raises(DeliveryRefused) as refused:
        notifier(receiver).send(a_message())
    assert refused.value.code == str(status)
    assert "why not" in str(refused.value)
    assert len(receiver.requests) == 1


def test_202_and_an_empty_body_are_success(receiver: HttpReceiver) -> None:
    receiver.answers = [Answer(202, b"")]
    assert notifier(receiver).send(a_message()).answer == "202"


def test_410_means_that_the_receiver_is_gone(receiver: HttpReceiver) -> None:
    receiver.answers = [Answer(410, b"unsubscribed")]
    with pytest.raises(ReceiverGone, match="410 unsubscribed"):
        notifier(receiver).send(a_message())


@pytest.mark.parametrize("header", ["120", "Wed, 25 Nov 2099 09:00:00 GMT"])
def test_retry_after_is_parsed_in_both_forms(receiver: HttpReceiver, header: str) -> None:
    receiver.answers = [Answer(429, b"", {"Retry-After": header})]
    with pytest.raises(DeliveryRefused) as refused:
        notifier(receiver).send(a_message())
    wait_s = refused.value.retry_after_s
    assert wait_s is not None
    assert wait_s == 120 or wait_s > 10**9


@pytest.mark.parametrize(
    "slow", [Answer(wait_s=600), Answer(500, b"x" * 3000, drip_s=0.2)], ids=["silent", "drip"]
)
def test_the_limit_applies_to_the_whole_attempt(receiver: HttpReceiver, slow: Answer) -> None:
    receiver.answers = [slow]
    began = time.monotonic()
    with pytest.raises(DeliveryRefused) as refused:
        notifier(receiver, limit_s=0.6).send(a_message())
    assert refused.value.code in ("timeout", "unreachable", "500")
    assert time.monotonic() - began < 300


@pytest.mark.parametrize(
    "broken",
    [
        Answer(200, b"x" * 100, drip_s=30),
        Answer(200, b"not gzip", {"Content-Encoding": "gzip"}),
        Answer(200, b"cut", cut=True),
    ],
    ids=["hangs", "no gzip", "cut"],
)
def test_a_broken_body_does_not_undo_a_success(receiver: HttpReceiver, broken: Answer) -> None:
    """Otherwise the message would be sent repeatedly."""
    receiver.answers = [broken]
    assert notifier(receiver).send(a_message()).code == "200"


def test_a_broken_body_does_not_hide_a_410(receiver: HttpReceiver) -> None:
    receiver.answers = [Answer(410, b"cut", cut=True)]
    with pytest.raises(ReceiverGone):
        notifier(receiver).send(a_message())


def test_only_the_start_of_an_endless_body_is_read(receiver: HttpReceiver) -> None:
    receiver.answers = [Answer(200, b"y" * 50_000_000)]
    answer = notifier(receiver).send(a_message()).answer
    assert len(answer) < 300
