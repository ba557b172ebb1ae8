"""Incomplete Whisper models are detected before they are loaded."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from callpipeline.engines.models.known_models import HUB_IDS, KNOWN_MODELS, KnownModel, shape_of
from callpipeline.engines.models.manifest import model_label
from callpipeline.engines.models.verify import (
    folder_size_bytes,
    verify_device,
    verify_language,
    verify_model,
    verify_named_shape,
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


def test_a_complete_model_is_accepted(model: Path):
    verify_model(model)
    verify_language(model, "en")
    assert 1_500_000 < folder_size_bytes(model) < 3_000_000


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut("model.bin", 0.999), "model.bin is truncated"),
        (cut("model.bin", 0.5), "model.bin is truncated"),
        (cut("model.bin", 0.0), "model.bin is truncated"),
        (replaced("model.bin", b"version https://git-lfs"), "has an unknown version"),
        (
            replaced("model.bin", struct.pack("<IH", 6, 12) + b"TransformerS\0" + b"x" * 99),
            "is not a Whisper model",
        ),
        (cut("tokenizer.json", 0.5), "is damaged"),
        (cut("config.json", 0.5), "is damaged"),
        (cut("vocabulary.json", 0.5), "is damaged"),
        (removed("vocabulary.json"), "vocabulary.json is missing"),
        (removed("model.bin"), "has no model.bin"),
        (removed("tokenizer.json"), "has no tokenizer.json"),
        (removed("config.json"), "has no config.json"),
        (replaced("model.safetensors", b""), "ct2-transformers-converter"),
    ],
)
def test_an_invalid_folder_has_a_reason(model: Path, damage: Callable[[Path], object], reason: str):
    damage(model)
    with pytest.raises(SettingsInvalid) as error:
        verify_model(model)
    assert reason in str(error.value)
    assert str(model) in str(error.value)


def test_a_missing_folder_is_reported(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match="There is no folder .*nowhere"):
        verify_model(tmp_path / "nowhere")


def test_a_newer_format_is_checked_by_the_library(model: Path):
    content = (model / "model.bin").read_bytes()
    (model / "model.bin").write_bytes(struct.pack("<I", 7) + content[4:2000])
    verify_model(model)


def test_an_unsupported_language_is_reported(model: Path):
    with pytest.raises(
        SettingsInvalid, match="tiny only supports English, and CALLPIPELINE_LANGUAGE"
    ):
        verify_language(model, "de")
    tokens = json.loads((model / "vocabulary.json").read_text())
    (model / "vocabulary.json").write_text(json.dumps([*tokens, *["x"] * 52_000]))
    with pytest.raises(SettingsInvalid, match="tiny doesn't support the language de"):
        verify_language(model, "de")
    verify_language(model, "en")


@pytest.mark.parametrize(("tokens", "is_multilingual"), [(51_864, False), (51_865, True)])
def test_a_newline_at_the_end_of_a_vocabulary_is_no_token(
    model: Path, tokens: int, is_multilingual: bool
):
    (model / "vocabulary.json").unlink()
    vocabulary = ["<|en|>", "<|de|>", *(f"t{number}" for number in range(tokens - 2))]
    (model / "vocabulary.txt").write_text("".join(f"{token}\n" for token in vocabulary))
    verify_language(model, "en")
    if is_multilingual:
        verify_language(model, "de")
    else:
        with pytest.raises(SettingsInvalid, match="only supports English"):
            verify_language(model, "de")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tiny.en", (4, 384, True)),
        ("base", (6, 512, False)),
        ("large-v3", (32, 1280, False)),
        ("turbo", (32, 1280, False)),
        ("distil-medium.en", (24, 1024, True)),
    ],
)
def test_the_shape_of_a_named_model_is_known(name: str, shape: tuple[int, int, bool]):
    assert shape_of(name) == shape


def test_each_common_name_has_a_shape_and_ids_have_none():
    assert all(shape_of(name) for name in HUB_IDS)
    assert shape_of("owner/base") is None


def test_a_model_of_another_shape_is_not_the_named_one(model: Path):
    with pytest.raises(SettingsInvalid) as error:
        verify_named_shape(model, "base")
    assert str(error.value).endswith(
        "is not base: it has 1 layers of width 64, English only, and base has 6 layers of width "
        "512, multilingual."
    )
    verify_named_shape(model, "owner/base")


@pytest.mark.parametrize("known", KNOWN_MODELS.values(), ids=KNOWN_MODELS)
def test_the_packages_of_a_known_model_hold_all_its_files(known: KnownModel):
    carried = {file for package in known.packages for _, file in package.members}
    assert carried == set(known.files)
    assert HUB_IDS[known.name] == known.hub_id


def test_the_label_of_a_folder_without_manifest_is_measured(model: Path):
    sha256 = hashlib.sha256((model / "model.bin").read_bytes()).hexdigest()
    assert model_label(model) == f"tiny@{sha256[:12]}"


@pytest.mark.parametrize("compute_type", ["int8", "float32", "auto", "default"])
def test_supported_compute_types_are_accepted(compute_type: str):
    verify_device("cpu", compute_type)


def test_an_unsupported_compute_type_or_device_is_reported():
    with pytest.raises(
        SettingsInvalid, match="COMPUTE_TYPE is int5; cpu on this machine supports .*int8"
    ):
        verify_device("cpu", "int5")
    with pytest.raises(SettingsInvalid, match="WHISPER_DEVICE is cuda|COMPUTE_TYPE is int5"):
        verify_device("cuda", "int5")
