"""Engines that are services over HTTP, at the addresses of the settings."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from callpipeline.engines.ports import SentimentJudge, Splitter, Transcriber
from callpipeline.wiring.registry import Parts, refuse_two_logins

if TYPE_CHECKING:
    from callpipeline.engines.http.service import Service

SET_A_LOGIN = "Set CALLPIPELINE_AUTH_URL, if it asks for a login."


def remote_splitter(parts: Parts) -> Splitter:
    from callpipeline.engines.split.remote import RemoteSplitter

    return RemoteSplitter(_open_service(parts, "split", parts.needed("split_url")))


def remote_transcriber(parts: Parts) -> Transcriber:
    from callpipeline.engines.transcribe.remote import RemoteTranscriber

    options = parts.settings
    service = _service(parts, "transcription", parts.needed("transcription_url"), logs_in=True)
    fields = {"language": parts.language_or_none or ""} | options.transcription_fields
    hint_field = options.transcription_hint_field
    return RemoteTranscriber(service, fields, hints=parts.hints, hint_field=hint_field)


def remote_judge(parts: Parts) -> SentimentJudge:
    from callpipeline.engines.sentiment.remote import RemoteJudge

    return RemoteJudge(_open_service(parts, "sentiment", parts.needed("sentiment_url")))


def _open_service(parts: Parts, name: str, url: str) -> "Service":
    """A service that the contract leaves open: it gets a token only where tokens come from."""
    auth_url = parts.settings.auth_url
    at_home = auth_url is not None and urlsplit(url)[:2] == urlsplit(auth_url)[:2]
    return _service(parts, name, url, logs_in=at_home)


def _service(parts: Parts, name: str, url: str, *, logs_in: bool) -> "Service":
    if logs_in and parts.settings.auth_url:
        refuse_two_logins(f"{name}_url", url, "CALLPIPELINE_AUTH_URL")
        return parts.http.service(name, url, bearer=parts.tokens)
    return parts.http.service(name, url, if_unknown=SET_A_LOGIN)
