"""A folder that is no whole Whisper model is told before anything is loaded."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from callpipeline.engines.transcribe.whisper_folder import (
    check,
    check_computing,
    check_language,
    size_bytes,
)
from callpipeline.errors import SettingsInvalid
from tests.fakes.tiny_whisper import a_tiny_whisper


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return a_tiny_whisper(tmp_path / "tiny")


def cut(file: str, to: float) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * to)])

    return damage


def replaced(file: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(content)


def removed(file: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).unlink()


def test_a_whole_model_is_fine(model: Path):
    check(model)
    check_language(model, "en")
    assert 1_500_000 < size_bytes(model) < 3_000_000


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut("model.bin", 0.999), "model.bin ends too early"),
        (cut("model.bin", 0.5), "model.bin ends too early"),
        (cut("model.bin", 0.0), "model.bin ends too early"),
        (replaced("model.bin", b"version https://git-lfs"), "of no version that is known"),
        (
            replaced("model.bin", struct.pack("<IH", 6, 12) + b"TransformerS\0" + b"x" * 99),
            "is not of a Whisper model",
        ),
        (cut("tokenizer.json", 0.5), "is damaged"),
        (cut("config.json", 0.5), "is damaged"),
        (cut("vocabulary.json", 0.5), "is damaged"),
        (removed("vocabulary.json"), "vocabulary.json is missing"),
        (removed("model.bin"), "holds no model.bin"),
        (removed("tokenizer.json"), "holds no tokenizer.json"),
        (removed("config.json"), "holds no config.json"),
        (replaced("model.safetensors", b""), "ct2-transformers-converter"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_in_a_sentence(
    model: Path, damage: Callable[[Path], object], told: str
):
    damage(model)
    with pytest.raises(SettingsInvalid) as error:
        check(model)
    assert told in str(error.value)
    assert str(model) in str(error.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match="There is no folder .*nowhere"):
        check(tmp_path / "nowhere")


def test_a_model_of_a_newer_format_is_left_to_the_library(model: Path):
    content = (model / "model.bin").read_bytes()
    (model / "model.bin").write_bytes(struct.pack("<I", 7) + content[4:2000])
    check(model)


def test_a_language_that_the_model_does_not_know_is_told(model: Path):
    with pytest.raises(SettingsInvalid, match="tiny knows English only, and CALLPIPELINE_LANGUAGE"):
        check_language(model, "de")
    tokens = json.loads((model / "vocabulary.json").read_text())
    (model / "vocabulary.json").write_text(json.dumps([*tokens, *["x"] * 52_000]))
    with pytest.raises(SettingsInvalid, match="tiny knows no language de"):
        check_language(model, "de")
    check_language(model, "en")


@pytest.mark.parametrize("number", ["int8", "float32", "auto", "default"])
def test_numbers_that_this_processor_has_are_fine(number: str):
    check_computing("cpu", number)


def test_numbers_or_a_device_that_this_machine_has_not_are_told():
    with pytest.raises(
        SettingsInvalid, match="COMPUTE_TYPE is int5; on cpu this machine has .*int8"
    ):
        check_computing("cpu", "int5")
    with pytest.raises(SettingsInvalid, match="WHISPER_DEVICE is cuda|COMPUTE_TYPE is int5"):
        check_computing("cuda", "int5")
