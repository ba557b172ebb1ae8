"""Engines are chosen by name."""

import pytest

from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring import open_engines
from callpipeline.wiring.registry import Role


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
