"""The engines that ask a server with OpenAI's API."""

from typing import TYPE_CHECKING

from callpipeline.engines.ports import SentimentJudge, Transcriber
from callpipeline.wiring.registry import Parts, refuse_two_logins

if TYPE_CHECKING:
    from callpipeline.engines.http.service import Service


def openai_transcriber(parts: Parts) -> Transcriber:
    from callpipeline.engines.transcribe.openai import OpenaiTranscriber

    settings = parts.settings
    return OpenaiTranscriber(
        _service(parts, "transcription"),
        parts.needed("openai_transcription_model"),
        language=parts.language_or_none,
        hints=parts.hints,
        most_bytes=round(settings.openai_max_mb * 1_000_000),
    )


def openai_judge(parts: Parts) -> SentimentJudge:
    from callpipeline.engines.sentiment.openai import OpenaiJudge

    return OpenaiJudge(_service(parts, "sentiment"), parts.needed("openai_sentiment_model"))


def _service(parts: Parts, name: str) -> "Service":
    """The server for one of the two, which may be another than that of both."""
    from callpipeline.engines.http.openai import explained, versioned
    from callpipeline.engines.http.token import Key

    own = f"openai_{name}_url"
    setting = own if getattr(parts.settings, own) else "openai_url"
    url, key = parts.needed(setting), parts.settings.openai_api_key
    if key:
        refuse_two_logins(setting, url, "CALLPIPELINE_OPENAI_API_KEY")
    return parts.http.service(
        name,
        versioned(url),
        bearer=Key(key.get_secret_value()) if key else None,
        if_unknown="Check CALLPIPELINE_OPENAI_API_KEY.",
        explain=explained,
    )
