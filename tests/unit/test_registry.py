"""Engines are chosen by name."""

from contextlib import ExitStack

import pytest

from callpipeline.cli.checkup import _engines
from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring import open_engines
from callpipeline.wiring.engines import ADDRESSES, sentiment_requests
from callpipeline.wiring.registry import Parts, Role
from callpipeline.wiring.services import remote_judge, remote_splitter, remote_transcriber


@pytest.mark.parametrize("role", Role)
def test_an_unknown_name_is_refused_with_those_there_are(role: Role):
    settings = Settings().model_copy(update={str(role): "monks"})
    known = {Role.SPLITTER: "local", Role.TRANSCRIBER: "pocketsphinx", Role.SENTIMENT: "lexicon"}
    said = f"CALLPIPELINE_{role.upper()}: there is no monks; there are auto.*{known[role]}"
    with pytest.raises(SettingsInvalid, match=said), open_engines(settings):
        pass


def test_auto_is_what_needs_nothing():
    with open_engines(Settings()) as engines:
        assert engines.splitter.name == "local"
        assert engines.transcriber.name.startswith("pocketsphinx")
        assert engines.judge.name == "lexicon"


SERVICES = {
    "split_url": "https://user:planted@split.example/",
    "transcription_url": "https://words.example/v2",
    "sentiment_url": "https://tone.example",
}
LOGIN = {"auth_url": "https://auth.example", "auth_username": "me", "auth_password": "planted"}


def test_auto_is_the_service_whose_address_is_set():
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
    said = (
        f"Set CALLPIPELINE_{setting.upper()}: the engine remote .CALLPIPELINE_TRANSCRIBER. needs it"
    )
    with pytest.raises(SettingsInvalid, match=said), open_engines(settings):
        pass


@pytest.mark.parametrize("role", Role)
def test_a_service_without_an_address_is_refused(role: Role):
    settings = Settings.model_validate({str(role): "remote"})
    wants = f"the engine remote .CALLPIPELINE_{role.upper()}. needs it"
    said = f"Set CALLPIPELINE_{ADDRESSES[role].upper()}: {wants}"
    with pytest.raises(SettingsInvalid, match=said), open_engines(settings):
        pass


def test_only_a_service_where_tokens_come_from_gets_one_that_is_open_by_contract():
    at_home = {"split_url": "https://auth.example/split"}
    settings = Settings.model_validate(SERVICES | LOGIN | at_home)
    with ExitStack() as opened:
        parts = Parts(settings, opened)
        engines = (remote_splitter(parts), remote_transcriber(parts), remote_judge(parts))
        tokens = [vars(engine)["_service"]._bearer for engine in engines]
    assert tokens[0] is tokens[1] is not None
    assert tokens[2] is None


def test_a_sentiment_service_is_asked_one_thing_at_a_time_unless_settings_say_so():
    assert sentiment_requests(Settings()) is None
    remote = Settings.model_validate(SERVICES)
    assert sentiment_requests(remote) == 1
    assert sentiment_requests(remote.model_copy(update={"sentiment_requests": 4})) == 4


def test_the_doctor_tells_where_engines_are_without_secrets():
    told = _engines(Settings.model_validate(SERVICES | LOGIN))
    assert "remote at https://split.example" in told
    assert "remote large-v3 at https://words.example," in told
    assert "planted" not in told


@pytest.mark.parametrize("secret", ["user:planted@", "user@", ":planted@"])
def test_an_address_with_a_password_and_a_login_are_one_too_many(secret: str):
    both = SERVICES | LOGIN | {"transcription_url": f"https://{secret}words.example"}
    said = "CALLPIPELINE_TRANSCRIPTION_URL has a name and password in it"
    with (
        pytest.raises(SettingsInvalid, match=said) as error,
        open_engines(Settings.model_validate(both)),
    ):
        pass
    assert "planted" not in str(error.value)
