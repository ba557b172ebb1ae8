"""Regular responses of the fault server follow the contract and the script."""

import base64
import hashlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile

from tests.fakes.services import FaultServer, scripted_segments
from tests.fakes.services.script import channels_from
from tests.integration.asking_services import (
    SHA256,
    a_client,
    ask_auth,
    ask_chat,
    ask_sentiment,
    ask_speech,
    ask_split,
    ask_transcription,
)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with a_client() as client:
        yield client


def test_login_returns_a_token_with_an_expiry(services: FaultServer, client: httpx.Client) -> None:
    answer = ask_auth(services, client).json()
    assert answer["token_type"] == "bearer"
    payload = answer["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert 3500 < claims["exp"] - time.time() <= 3600
    services.script.credentials = ("somebody", "else")
    assert ask_auth(services, client).status_code == 401
    assert len(services.tokens.issued) == 1


def test_split_returns_urls_of_two_flac_files(services: FaultServer, client: httpx.Client) -> None:
    urls = ask_split(services, client).json()
    sounds = []
    for side in ("left", "right"):
        path = urls[f"{side}_channel_url"]
        assert path.startswith("/channels/")
        flac = client.get(services.url("split") + path).content
        samples, rate_hz = soundfile.read(io.BytesIO(flac))
        assert (len(samples), rate_hz) == (32_000, 8000)
        sounds.append(flac)
    assert sounds[0] != sounds[1]
    assert len(services.requests("channel")) == 2


def test_channel_files_differ_by_recording(services: FaultServer, client: httpx.Client) -> None:
    hashes = set()
    for content in (b"one", b"two"):
        upload = {"file": ("call.wav", content, "audio/wav")}
        path = client.post(f"{services.url('split')}/split", files=upload).json()
        url = services.url("split") + path["left_channel_url"]
        hashes.add(hashlib.sha256(client.get(url).content).hexdigest())
    assert len(hashes) == 2


def test_channel_urls_may_be_absolute_and_files_from_a_folder(
    services: FaultServer, client: httpx.Client, tmp_path: Path
) -> None:
    folder = tmp_path / "call one"
    folder.mkdir()
    (folder / "left.flac").write_bytes(b"the left one")
    (folder / "right.flac").write_bytes(b"the right one")
    services.script.channels = channels_from(tmp_path)
    services.script.absolute_urls = True
    urls = ask_split(services, client).json()
    assert urls["right_channel_url"].startswith(services.url("channel"))
    assert client.get(urls["right_channel_url"]).content == b"the right one"


def test_a_transcription_requires_a_token(services: FaultServer, client: httpx.Client) -> None:
    answer = ask_transcription(services, client)
    assert answer.json()["success"]
    url = f"{services.url('transcription')}/api/v1/transcriptions/"
    upload = {"audio_file": ("a.flac", b"x", "audio/flac")}
    for headers in ({}, {"Authorization": "Bearer planted"}, {"Authorization": "Basic planted"}):
        refused = client.post(url, files=upload, headers=headers)
        assert (refused.status_code, refused.json()) == (
            401,
            {"detail": "Could not validate credentials"},
        )


def test_tokens_expire_on_request_by_use_and_by_time(
    services: FaultServer, client: httpx.Client
) -> None:
    def statuses(token: str, times: int) -> list[int]:
        url = f"{services.url('transcription')}/api/v1/transcriptions/"
        headers = {"Authorization": f"Bearer {token}"}
        upload = {"audio_file": ("right.flac", b"x", "audio/flac")}
        posts = (client.post(url, files=upload, headers=headers) for _ in range(times))
        return [answer.status_code for answer in posts]

    token = services.tokens.issue()
    assert statuses(token, 1) == [200]
    services.expire_tokens()
    assert statuses(token, 1) == [401]
    services.tokens.uses = 2
    assert statuses(services.tokens.issue(), 3) == [200, 200, 401]
    late = services.tokens.issue()
    services.tokens.advance(3601)
    assert statuses(late, 1) == [401]
    assert services.tokens.refused == 3


def test_speech_is_scripted_by_content_name_or_function(
    services: FaultServer, client: httpx.Client
) -> None:
    def text() -> str:
        return ask_transcription(services, client).json()["data"]["text"]

    assert text() == "I would rather go to Vodafone."
    services.script.speech["right.flac"] = scripted_segments("By name.")
    assert text() == "By name."
    services.script.speech[SHA256] = scripted_segments("By content.")
    assert text() == "By content."
    services.script.recognise = lambda request: scripted_segments(f"In {request.form['language']}.")
    assert text() == "In en."


def test_segments_and_words_have_times(services: FaultServer, client: httpx.Client) -> None:
    services.script.speech["right.flac"] = scripted_segments(
        "We moved to Sky.", "It is good.", start_s=2.0
    )
    first, second = ask_transcription(services, client).json()["data"]["segments"]
    assert (first["id"], first["start"], first["end"]) == (0, 2.0, 3.2)
    assert [word["word"] for word in first["words"]] == [" We", " moved", " to", " Sky."]
    assert first["words"][3]["start"] == 2.9
    assert second["start"] == 3.5
    services.script.words = False
    services.script.bare = True
    bare = ask_transcription(services, client).json()
    assert all("words" not in segment for segment in bare["segments"])


def test_a_channel_is_identified_by_its_content(
    services: FaultServer, client: httpx.Client
) -> None:
    path = ask_split(services, client).json()["left_channel_url"]
    left = client.get(services.url("split") + path).content
    answer = client.post(
        f"{services.url('transcription')}/api/v1/transcriptions/",
        headers={"Authorization": f"Bearer {services.tokens.issue()}"},
        files={"audio_file": ("x.flac", left, "audio/flac")},
    )
    assert answer.json()["data"]["text"].startswith("Thank you for calling.")


def test_sentiment_finds_the_segments_with_the_context(
    services: FaultServer, client: httpx.Client
) -> None:
    services.script.labels["vodafone"] = "negative"
    answer = ask_sentiment(services, client, "vodafone").json()
    assert answer["overall_sentiment"] == "negative"
    [segment] = answer["segments"]
    assert (segment["segment-id"], segment["sentiment"]) == (0, "negative")
    assert (answer["positive"], answer["neutral"], answer["negative"]) == (0, 0, 1)
    assert answer["metadata"] == {"channel": "right"}
    assert ask_sentiment(services, client, "Three").json() == []


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("auth", "/api/v1/login/access-token"),
        ("split", "/split"),
        ("sentiment", "/analyze/contextual/file"),
    ],
)
def test_a_form_without_its_fields_is_refused(
    service: str, path: str, services: FaultServer, client: httpx.Client
) -> None:
    answer = client.post(services.url(service) + path, data={"other": "field"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"] == "Field required"


def test_an_openai_transcription_has_words_at_its_top_without_punctuation(
    services: FaultServer, client: httpx.Client
) -> None:
    answer = ask_speech(services, client).json()
    assert [word["word"] for word in answer["words"]][:4] == ["Thank", "you", "for", "calling"]
    assert [segment["text"] for segment in answer["segments"]][1] == " How can I help?"
    assert ask_speech(services, client, "json").json().keys() == {"text"}
    text = ask_speech(services, client, "text")
    assert text.text == "Thank you for calling. How can I help?\n"
    assert ask_speech(services, client, "srt-of-sorts").status_code == 400
    services.script.words = services.script.segments = False
    assert ask_speech(services, client).json().keys() == {"task", "language", "duration", "text"}


def test_chat_follows_the_script_and_requires_a_key(
    services: FaultServer, client: httpx.Client
) -> None:
    services.script.chat = lambda asked: {"heard": asked["messages"][0]["content"]}
    content = ask_chat(services, client).json()["choices"][0]["message"]["content"]
    assert json.loads(content) == {"heard": "hello"}
    services.script.chat = lambda asked: "just words"
    assert "just words" in ask_chat(services, client).text
    services.script.api_key = "planted-key"
    assert ask_chat(services, client).status_code == 401
    client.headers["Authorization"] = "Bearer planted-key"
    assert ask_chat(services, client).status_code == 200
