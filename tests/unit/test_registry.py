"""Choice of engines by name."""

from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from callpipeline.cli.doctor.examination import _engines
from callpipeline.config import Settings
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.rematch.recomputation import CURRENT, _older
from callpipeline.storage.ports.rematch import EngineUse
from callpipeline.wiring import mention_engine, open_engines, open_matcher
from callpipeline.wiring.engines import (
    URL_SETTINGS,
    remote_judge,
    remote_splitter,
    remote_transcriber,
    sentiment_requests,
)
from callpipeline.wiring.registry import EngineContext, EngineRole


@pytest.mark.parametrize("role", EngineRole)
def test_an_unknown_name_is_refused_listing_the_available_ones(role: EngineRole):
    settings = Settings().model_copy(update={str(role): "monks"})
    known = {
        EngineRole.SPLITTER: "local",
        EngineRole.TRANSCRIBER: "faster-whisper",
        EngineRole.SENTIMENT: "encoder, lexicon",
    }
    message = f"CALLPIPELINE_{role.upper()}: unknown engine monks; available: auto.*{known[role]}"
    with pytest.raises(SettingsInvalid, match=message), open_engines(settings):
        pass


@pytest.mark.parametrize("counts", [True, False])
def test_whether_addresses_count_is_a_setting_that_recomputation_notices(counts: bool):
    settings = Settings().model_copy(update={"count_addresses": counts})
    catalog = Catalog((Competitor("Vodafone"),))
    assert open_matcher(settings, catalog).counts_addresses is counts
    engines = {
        each: mention_engine(settings.model_copy(update={"count_addresses": each}))
        for each in (True, False)
    }
    used = [EngineUse(engine, 1, datetime.now(UTC)) for engine in engines.values()]
    assert _older(used, CURRENT, engines[counts]) == [engines[not counts]]


def test_auto_is_what_needs_no_setup(settings: Settings):
    with open_engines(settings) as engines:
        assert engines.splitter.name == "local"
        assert engines.transcriber.name.startswith("pocketsphinx")
        assert engines.judge.name.startswith("encoder ")
        assert engines.diarizer and engines.diarizer.name == "ge2e"


def test_diarization_can_be_switched_off(settings: Settings):
    with open_engines(settings.model_copy(update={"diarization": "off"})) as engines:
        assert engines.diarizer is None


SERVICES = {
    "split_url": "https://user:planted@split.example/",
    "transcription_url": "https://words.example/v2",
    "sentiment_url": "https://tone.example",
}
LOGIN = {"auth_url": "https://auth.example", "auth_username": "me", "auth_password": "planted"}


def test_auto_is_the_service_whose_url_is_set():
    settings = Settings.model_validate(SERVICES)
    with open_engines(settings) as engines:
        assert engines.splitter.name == engines.judge.name == "remote"
        assert engines.transcriber.name == "remote large-v3"
    with open_engines(settings.model_copy(update={"split_url": None})) as engines:
        assert engines.splitter.name == "local"
    with open_engines(settings.model_copy(update={"sentiment": "lexicon"})) as engines:
        assert engines.judge.name == "lexicon"


@pytest.mark.parametrize("setting", ["auth_username", "auth_password"])
def test_a_login_without_its_credentials_is_refused(setting: str):
    settings = Settings.model_validate(SERVICES | LOGIN | {setting: None})
    message = (
        f"Set CALLPIPELINE_{setting.upper()}: the engine remote .CALLPIPELINE_TRANSCRIBER. needs it"
    )
    with pytest.raises(SettingsInvalid, match=message), open_engines(settings):
        pass


@pytest.mark.parametrize("role", EngineRole)
def test_a_service_without_a_url_is_refused(role: EngineRole):
    settings = Settings.model_validate({str(role): "remote"})
    wants = f"the engine remote .CALLPIPELINE_{role.upper()}. needs it"
    message = f"Set CALLPIPELINE_{URL_SETTINGS[role].upper()}: {wants}"
    with pytest.raises(SettingsInvalid, match=message), open_engines(settings):
        pass


def test_open_services_get_a_token_only_on_the_host_that_issues_them():
    on_issuer_host = {"split_url": "https://auth.example/split"}
    settings = Settings.model_validate(SERVICES | LOGIN | on_issuer_host)
    with ExitStack() as stack:
        context = EngineContext(settings, stack)
        engines = (remote_splitter(context), remote_transcriber(context), remote_judge(context))
        tokens = [vars(engine)["_service"]._token_source for engine in engines]
    assert tokens[0] is tokens[1] is not None
    assert tokens[2] is None


def test_a_sentiment_service_gets_one_request_at_a_time_by_default():
    assert sentiment_requests(Settings()) is None
    remote = Settings.model_validate(SERVICES)
    assert sentiment_requests(remote) == 1
    assert sentiment_requests(remote.model_copy(update={"sentiment_requests": 4})) == 4


def test_doctor_shows_urls_of_engines_without_secrets():
    report = _engines(Settings.model_validate(SERVICES | LOGIN))
    assert "remote at https://split.example" in report
    assert "remote large-v3 at https://words.example," in report
    assert "planted" not in report


@pytest.mark.parametrize("secret", ["user:planted@", "user@", ":planted@"])
def test_a_url_with_a_password_and_a_login_are_refused(secret: str):
    both = SERVICES | LOGIN | {"transcription_url": f"https://{secret}words.example"}
    message = "CALLPIPELINE_TRANSCRIPTION_URL contains a user name and password"
    with (
        pytest.raises(SettingsInvalid, match=message) as error,
        open_engines(Settings.model_validate(both)),
    ):
        pass
    assert "planted" not in str(error.value)
