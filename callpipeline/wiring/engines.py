"""Engines chosen by the settings: on this machine, and HTTP services.

Services have our own contract, or the API of OpenAI.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import cachetools

from callpipeline.config import Settings
from callpipeline.domain.audio import Interval, Peaks
from callpipeline.domain.calls.call import Lane
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.sentiment import PatternKind, PatternLists, ReadPatterns, Sentiment
from callpipeline.engines.ports import (
    Diarizer,
    PatternJudge,
    SentimentJudge,
    SoundFinder,
    SpeechDetector,
    Splitter,
    ThrottledJudge,
    ThrottledSplitter,
    ThrottledTranscriber,
    Transcriber,
)
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.processing.stages import Engines
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.locks import AdvisorySemaphore
from callpipeline.wiring.recognisers import RECOGNISERS, choose_recogniser
from callpipeline.wiring.registry import (
    AUTO,
    EngineContext,
    EngineFactory,
    EngineRole,
    build_engine,
    refuse_two_credentials,
)

if TYPE_CHECKING:
    from callpipeline.engines.encoder.network import CompanySlotScorer, UtteranceEncoder
    from callpipeline.engines.http.breaker import OutageStore
    from callpipeline.engines.http.service import HttpService

PATTERNS_TTL_S = 5.0

_PatternCache = cachetools.TTLCache[object, PatternLists]

SET_A_LOGIN = "Set CALLPIPELINE_AUTH_URL if it requires a login."


def remote_splitter(context: EngineContext) -> Splitter:
    from callpipeline.engines.split.remote import RemoteSplitter

    return RemoteSplitter(_open_service(context, "split", context.require("split_url")))


def remote_transcriber(context: EngineContext) -> Transcriber:
    from callpipeline.engines.transcribe.remote import RemoteTranscriber

    options = context.settings
    service = _service(context, "transcription", context.require("transcription_url"), logs_in=True)
    fields = {"language": context.language_or_none or ""} | options.transcription_fields
    hint_field = options.transcription_hint_field
    return RemoteTranscriber(service, fields, hints=context.hints, hint_field=hint_field)


def remote_judge(context: EngineContext) -> SentimentJudge:
    from callpipeline.engines.sentiment.remote import RemoteJudge

    return RemoteJudge(_open_service(context, "sentiment", context.require("sentiment_url")))


def _open_service(context: EngineContext, name: str, url: str) -> "HttpService":
    """Open a service without login by contract; send tokens only to their issuer's host."""
    auth_url = context.settings.auth_url
    is_issuer = auth_url is not None and urlsplit(url)[:2] == urlsplit(auth_url)[:2]
    return _service(context, name, url, logs_in=is_issuer)


def _service(context: EngineContext, name: str, url: str, *, logs_in: bool) -> "HttpService":
    if logs_in and context.settings.auth_url:
        refuse_two_credentials(f"{name}_url", url, "CALLPIPELINE_AUTH_URL")
        return context.http.service(name, url, token_source=context.tokens)
    return context.http.service(name, url, unauthorized_hint=SET_A_LOGIN)


def openai_transcriber(context: EngineContext) -> Transcriber:
    from callpipeline.engines.transcribe.openai import OpenaiTranscriber

    settings = context.settings
    return OpenaiTranscriber(
        _openai_service(context, "transcription"),
        context.require("openai_transcription_model"),
        language=context.language_or_none,
        hints=context.hints,
        max_upload_bytes=round(settings.openai_max_mb * 1_000_000),
    )


def openai_judge(context: EngineContext) -> SentimentJudge:
    from callpipeline.engines.sentiment.openai import OpenaiJudge

    return OpenaiJudge(
        _openai_service(context, "sentiment"), context.require("openai_sentiment_model")
    )


def _openai_service(context: EngineContext, name: str) -> "HttpService":
    """Open the server of one engine, which may have its own URL."""
    from callpipeline.engines.http.openai import explain_refusal, versioned_url
    from callpipeline.engines.http.tokens import StaticToken

    own = f"openai_{name}_url"
    setting = own if getattr(context.settings, own) else "openai_url"
    url, key = context.require(setting), context.settings.openai_api_key
    if key:
        refuse_two_credentials(setting, url, "CALLPIPELINE_OPENAI_API_KEY")
    return context.http.service(
        name,
        versioned_url(url),
        token_source=StaticToken(key.get_secret_value()) if key else None,
        unauthorized_hint="Check CALLPIPELINE_OPENAI_API_KEY.",
        explain_refusal=explain_refusal,
    )


def local_splitter(context: EngineContext) -> Splitter:
    from callpipeline.engines.split import LocalSplitter

    return LocalSplitter()


def lexicon_judge(context: EngineContext) -> SentimentJudge:
    from callpipeline.engines.sentiment.lexicon import LexiconJudge

    return LexiconJudge()


def encoder_judge(context: EngineContext) -> SentimentJudge:
    from callpipeline.engines.sentiment.encoder_judge import EncoderJudge

    return EncoderJudge(_utterance_encoder())


def company_slots() -> "CompanySlotScorer":
    """Return the encoder's judgement of where ambiguous names stand; it is loaded on first use."""
    from callpipeline.engines.encoder.network import CompanySlotScorer

    return CompanySlotScorer(_utterance_encoder())


def open_matcher(settings: Settings, catalog: Catalog) -> Matcher:
    """Return the matcher of a catalog, with the encoder's judgement of ambiguous names."""
    return Matcher(catalog, company_slots(), counts_addresses=settings.count_addresses)


def mention_engine(settings: Settings) -> str:
    """Return the name of what finds mentions: that of the encoder, and settings that matter.

    It has no comma: what follows one in the name of an engine doesn't make it another.
    """
    name = company_slots().name
    return name if settings.count_addresses else f"{name} without addresses"


def load_networks() -> None:
    """Load the encoder and the speech detector, for processes that are forked from this one."""
    from callpipeline.engines.speech import SileroSpeechDetector

    _utterance_encoder().load()
    SileroSpeechDetector().load()


@cache
def _utterance_encoder() -> "UtteranceEncoder":
    """Return the encoder of this process, which sentiment and names share."""
    from callpipeline.engines.encoder.network import UtteranceEncoder

    return UtteranceEncoder()


def local_splitting() -> tuple[Splitter, SpeechDetector]:
    """Return a splitter and a speech detector that need no service."""
    from callpipeline.engines.speech import SileroSpeechDetector
    from callpipeline.engines.split import LocalSplitter

    return LocalSplitter(), SileroSpeechDetector()


def encoder_diarizer() -> Diarizer:
    """Return the diarizer of mono recordings; its network is loaded on first use."""
    from callpipeline.engines.diarize.voices import EncoderDiarizer

    return EncoderDiarizer()


def measure_peaks(flac: Path, sha256: str) -> Peaks:
    """Measure the waveform of a channel; numpy and soundfile are imported on first use."""
    from callpipeline.engines.split import channel_files

    return channel_files.measure_peaks(flac, sha256)


def mute_channel(flac: Path, intervals: Sequence[Interval], into: Path) -> tuple[int, str]:
    """Silence parts of a channel; numpy and soundfile are imported on first use."""
    from callpipeline.engines.split import channel_files

    return channel_files.mute_channel(flac, intervals, into)


REMOTE = "remote"
BUILTIN: Mapping[EngineRole, Mapping[str, EngineFactory]] = {
    EngineRole.SPLITTER: {"local": local_splitter, REMOTE: remote_splitter},
    EngineRole.TRANSCRIBER: RECOGNISERS
    | {REMOTE: remote_transcriber, "openai": openai_transcriber},
    EngineRole.SENTIMENT: {
        "encoder": encoder_judge,
        "lexicon": lexicon_judge,
        REMOTE: remote_judge,
        "openai": openai_judge,
    },
}
LOCAL_DEFAULTS = {
    EngineRole.SPLITTER: "local",
    EngineRole.TRANSCRIBER: "faster-whisper",
    EngineRole.SENTIMENT: "encoder",
}
"""Engines that run on this machine."""
URL_SETTINGS = {
    EngineRole.SPLITTER: "split_url",
    EngineRole.TRANSCRIBER: "transcription_url",
    EngineRole.SENTIMENT: "sentiment_url",
}
"""Settings with the URL of a service, which `auto` then chooses."""


def chosen_engines(settings: Settings) -> dict[EngineRole, str]:
    """Return the name of each engine; `auto` resolves to the best available."""
    best = LOCAL_DEFAULTS | {EngineRole.TRANSCRIBER: choose_recogniser(settings).name}
    best |= {role: REMOTE for role, setting in URL_SETTINGS.items() if getattr(settings, setting)}
    named = {role: getattr(settings, role) for role in EngineRole}
    return {role: best[role] if name == AUTO else name for role, name in named.items()}


@contextmanager
def open_engines(
    settings: Settings,
    lane: Lane = Lane.LIVE,
    *,
    hints: Sequence[str] = (),
    outages: "OutageStore | None" = None,
) -> Iterator[Engines]:
    """Open the engines that the settings choose; heavy libraries are imported on first use.

    Raises SettingsInvalid for an unknown name, or if an engine lacks a setting or a package.
    """
    from callpipeline.engines.speech import SileroSpeechDetector

    names = chosen_engines(settings)
    with ExitStack() as stack:
        context = EngineContext(settings, stack, lane, hints, outages)
        engines = {
            role: build_engine(role, names[role], BUILTIN[role], context) for role in EngineRole
        }
        yield Engines(
            engines[EngineRole.SPLITTER],
            SileroSpeechDetector(),
            engines[EngineRole.TRANSCRIBER],
            engines[EngineRole.SENTIMENT],
            encoder_diarizer() if settings.diarization == "auto" else None,
        )


def refuse_to_serve_remote(settings: Settings) -> None:
    """Raise SettingsInvalid if an engine is remote: the engine server could then call itself."""
    for role, name in chosen_engines(settings).items():
        if name == REMOTE:
            raise SettingsInvalid(
                f"CALLPIPELINE_{role.upper()} is remote, but the engine server needs local ones: "
                f"choose another one for this command, such as CALLPIPELINE_{role.upper()}="
                f"{LOCAL_DEFAULTS[role]} callpipeline engines serve."
            )


def text_sentiment(text: str) -> tuple[Sentiment, float]:
    """Return the overall tone of a text, by the word lists of the `lexicon` engine."""
    from callpipeline.engines.sentiment.lexicon import text_sentiment

    return text_sentiment(text)


def vader_sentiment(text: str) -> Sentiment:
    """Return the sentiment of a text by VADER as published, for comparison."""
    from callpipeline.engines.sentiment.lexicon import vader_sentiment

    return vader_sentiment(text)


def throttle_engines(
    settings: Settings, engines: Engines, database: Database, lane: Lane, stack: ExitStack
) -> Engines:
    """Limit the concurrent requests of all runs to an engine, where the settings do so."""

    def semaphore(service: str, limit: int) -> AdvisorySemaphore:
        return stack.enter_context(closing(AdvisorySemaphore(database, service, limit, lane)))

    if limit := settings.splitter_requests:
        splitter = ThrottledSplitter(engines.splitter, semaphore("splitter", limit))
        engines = replace(engines, splitter=splitter)
    if limit := settings.transcriber_requests:
        transcriber = ThrottledTranscriber(engines.transcriber, semaphore("transcriber", limit))
        engines = replace(engines, transcriber=transcriber)
    if limit := sentiment_requests(settings):
        engines = replace(
            engines, judge=ThrottledJudge(engines.judge, semaphore("sentiment", limit))
        )
    return engines


def add_patterns(engines: Engines, read: ReadPatterns) -> Engines:
    """Let the user's patterns decide before the judge; they are read again every few seconds."""
    lists = cachetools.cached(_PatternCache(1, PATTERNS_TTL_S), lock=Lock())(read)
    return replace(engines, judge=PatternJudge(engines.judge, lists))


@cache
def built_in_phrases() -> PatternLists:
    """Return the words and phrases that the engine `lexicon` rates, for display."""
    from callpipeline.engines.sentiment.lexicon import rated_phrases

    positive, negative = rated_phrases()
    return {PatternKind.POSITIVE: positive, PatternKind.NEGATIVE: negative}


def sentiment_requests(settings: Settings) -> int | None:
    """Return the limit of concurrent requests; 1 by default for a remote service."""
    is_remote = chosen_engines(settings)[EngineRole.SENTIMENT] == REMOTE
    return settings.sentiment_requests or (1 if is_remote else None)


def open_sound_finder(settings: Settings, names: Mapping[str, Sequence[str]]) -> SoundFinder:
    """Build the search for words that sound like names, given with their forms."""
    from callpipeline.engines.phonetics.pronouncers import choose_pronouncer
    from callpipeline.engines.phonetics.resemblance import NameSounds

    return NameSounds(choose_pronouncer(settings.language), names)
