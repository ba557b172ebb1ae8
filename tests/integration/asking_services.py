"""Valid requests to each service of the fault server."""

import hashlib
import json
from collections.abc import Callable, Iterator

import httpx

from tests.fakes.services import FaultServer, scripted_segments

RECORDING = b"RIFF" + bytes(range(256)) * 400
SHA256 = hashlib.sha256(RECORDING).hexdigest()
LIMIT_S = 0.2

Ask = Callable[[FaultServer, httpx.Client], httpx.Response]


def a_client(read_s: float = 60.0, connect_s: float = 60.0) -> httpx.Client:
    """Return a client without certificates, which take longer to load than most tests run."""
    timeout = httpx.Timeout(60.0, read=read_s, connect=connect_s)
    return httpx.Client(timeout=timeout, verify=False)


def an_upload(content: bytes = RECORDING) -> dict[str, tuple[str, bytes, str]]:
    """Return the form of an upload to the split service."""
    return {"file": ("call.wav", content, "audio/wav")}


def ask_auth(services: FaultServer, client: httpx.Client) -> httpx.Response:
    form = {"username": "planted-user", "password": "planted-password"}
    return client.post(f"{services.url('auth')}/api/v1/login/access-token", data=form)


def ask_split(services: FaultServer, client: httpx.Client) -> httpx.Response:
    upload = {"file": ("call one.wav", RECORDING, "audio/wav")}
    return client.post(f"{services.url('split')}/split", files=upload)


def ask_channel(services: FaultServer, client: httpx.Client) -> httpx.Response:
    [path, _] = services.channel_files.put((b"left" * 100, b"right" * 100))
    return client.get(f"{services.url('channel')}{path}")


def ask_transcription(services: FaultServer, client: httpx.Client) -> httpx.Response:
    return client.post(
        f"{services.url('transcription')}/api/v1/transcriptions/",
        headers={"Authorization": f"Bearer {services.tokens.issue()}"},
        data={"whisper_model": "large-v3", "language": "en"},
        files={"audio_file": ("right.flac", RECORDING, "audio/flac")},
    )


def ask_sentiment(
    services: FaultServer, client: httpx.Client, competitor: str = "Vodafone"
) -> httpx.Response:
    segments = scripted_segments("I would rather go to Vodafone.", "Or to Sky perhaps.", "Vodafone")
    transcript = {"metadata": {"channel": "right"}, "text": "", "segments": segments}
    upload = {"file": ("transcript.json", json.dumps(transcript).encode(), "application/json")}
    url = f"{services.url('sentiment')}/analyze/contextual/file"
    return client.post(url, data={"context": competitor}, files=upload)


def ask_speech(
    services: FaultServer, client: httpx.Client, response_format: str = "verbose_json"
) -> httpx.Response:
    granularities = ["segment", "word"]
    form = {
        "model": "whisper-1",
        "response_format": response_format,
        "temperature": "0",
        "timestamp_granularities[]": granularities,
    }
    upload = {"file": ("left.flac", RECORDING, "audio/flac")}
    return client.post(f"{services.url('speech')}/audio/transcriptions", data=form, files=upload)


def ask_chat(services: FaultServer, client: httpx.Client) -> httpx.Response:
    asked = {
        "model": "gpt-test",
        "temperature": 0,
        "messages": [{"role": "user", "content": "hello"}],
        "response_format": {"type": "json_object"},
    }
    return client.post(f"{services.url('chat')}/chat/completions", json=asked)


ASK: dict[str, Ask] = {
    "auth": ask_auth,
    "split": ask_split,
    "channel": ask_channel,
    "transcription": ask_transcription,
    "sentiment": ask_sentiment,
    "speech": ask_speech,
    "chat": ask_chat,
}


def outcome(
    service: str, services: FaultServer, client: httpx.Client
) -> httpx.Response | httpx.RequestError:
    """Return the response, or the class of the connection error."""
    try:
        return ASK[service](services, client)
    except httpx.RequestError as error:
        return error


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]
