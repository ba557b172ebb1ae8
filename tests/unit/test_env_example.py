"""`.env.example` documents every setting, with its default, and none that does not exist."""

import re
from pathlib import Path

from callpipeline.config import Settings

ROOT = Path(__file__).resolve().parents[2]


def documented() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = (re.fullmatch(r"#(\w+)=(.*)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def test_every_setting_is_documented_and_no_other() -> None:
    names = {name.removeprefix("CALLPIPELINE_").lower() for name in documented()}
    assert names == set(Settings.model_fields)


def test_the_defaults_told_are_the_defaults() -> None:
    for name, field in Settings.model_fields.items():
        told = documented().get(f"CALLPIPELINE_{name.upper()}", "")
        if told and not told.startswith("./data"):
            assert told == f"{field.default:g}" if name == "settle_s" else str(field.default)
