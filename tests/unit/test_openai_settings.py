"""Construction of the openai engines from their settings."""

from typing import Any

import pytest

from callpipeline.config import Settings
from callpipeline.engines.http.openai import versioned_url
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring import open_engines

GIVEN: dict[str, Any] = {
    "transcriber": "openai",
    "sentiment": "openai",
    "openai_url": "http://127.0.0.1:9",
    "openai_transcription_model": "whisper-1",
    "openai_sentiment_model": "gpt-test",
}


def settings(**changed: Any) -> Settings:
    return Settings(**{"_env_file": None, **GIVEN, **changed})


def test_both_engines_share_one_url() -> None:
    with open_engines(settings()) as engines:
        assert engines.transcriber.name == "openai whisper-1"
        assert engines.judge.name == "openai gpt-test"


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("openai_url", "CALLPIPELINE_OPENAI_URL"),
        ("openai_transcription_model", "CALLPIPELINE_OPENAI_TRANSCRIPTION_MODEL"),
        ("openai_sentiment_model", "CALLPIPELINE_OPENAI_SENTIMENT_MODEL"),
    ],
)
def test_a_missing_setting_is_named(missing: str, named: str) -> None:
    with pytest.raises(SettingsInvalid, match=named), open_engines(settings(**{missing: None})):
        pass


def test_two_servers_need_no_common_url() -> None:
    apart = {"openai_transcription_url": "http://a:1/v1", "openai_sentiment_url": "http://b:2"}
    with open_engines(settings(openai_url=None, **apart)) as engines:
        assert engines.judge.name == "openai gpt-test"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("https://host/openai/v1", "https://host/openai/v1"),
        ("https://host/v1beta", "https://host/v1beta"),
        ("https://host/api/v4", "https://host/api/v4"),
        ("https://host/v1/openai", "https://host/v1/openai"),
        ("https://v1/openai", "https://v1/openai/v1"),
    ],
)
def test_a_url_may_include_the_version_or_not(written: str, asked: str) -> None:
    assert versioned_url(written) == asked
