"""Verification of Whisper models for CTranslate2, without loading them.

A model takes seconds to load, and is loaded by other processes when they get their first call.
Defects should be found before.
"""

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from callpipeline.engines.models.known_models import KnownModel, ModelShape, shape_of
from callpipeline.engines.models.manifest import measure_file, verify_sizes
from callpipeline.errors import SettingsInvalid

MODEL_FILES = (
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.json",
    "vocabulary.txt",
)
"""Files of a model. preprocessor_config.json is optional, and each model has one vocabulary.

Full names instead of patterns: a file "vocabulary.x/../../y" would match a pattern, and escape.
"""
SUPPORTED_BINARY_VERSIONS = range(4, 7)
"""Versions of model.bin with a known layout; CTranslate2 checks newer ones when loading."""
MIN_MULTILINGUAL_VOCABULARY = 51_865
"""Size of the vocabulary from which CTranslate2 treats a model as multilingual."""
ENCODER_LAYER = re.compile(rb"encoder/layer_(\d+)/")
ENCODER_INPUT = b"encoder/conv1/weight"
"""Variable whose first dimension is the width of the encoder."""


def verify_model(folder: Path) -> None:
    """Raise SettingsInvalid, with the reason, unless a folder holds a complete Whisper model."""
    if not folder.is_dir():
        raise SettingsInvalid(f"There is no folder {folder}.")
    if any(folder.glob("*.safetensors")) or (folder / "pytorch_model.bin").exists():
        raise SettingsInvalid(
            f"{folder} is a model for Transformers: convert it for CTranslate2 with "
            "`ct2-transformers-converter --model FOLDER --output_dir NEW --quantization int8 "
            "--copy_files tokenizer.json preprocessor_config.json`."
        )
    for name in ("model.bin", "config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise SettingsInvalid(
                f"{folder} has no {name}, so it is not a Whisper model for CTranslate2 (a folder "
                "like that of `callpipeline models pull base`)."
            )
    verify_sizes(folder)
    _read_variables(folder)


def verify_named_shape(folder: Path, name: str) -> None:
    """Raise SettingsInvalid if a model has not the size or language that its name promises."""
    expected, variables = shape_of(name), _read_variables(folder)
    width = variables.get(ENCODER_INPUT, (0,))[0]
    if expected is None or not width:
        return  # another name than those of OpenAI's models, or a layout of a later version
    layers = {match[1] for variable in variables if (match := ENCODER_LAYER.match(variable))}
    is_english = len(_vocabulary(folder)) < MIN_MULTILINGUAL_VOCABULARY
    actual = ModelShape(len(layers), width, is_english)
    if actual != expected:
        raise SettingsInvalid(
            f"The model in {folder} is not {name}: it has {actual}, and {name} has {expected}."
        )


def find_difference(folder: Path, model: KnownModel) -> str | None:
    """Return how a folder's files differ from those of a known model; None if they are the same."""
    for name, file in model.files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size_bytes := path.stat().st_size) != file.size_bytes:
            return f"{name} has {size_bytes:,} instead of {file.size_bytes:,} bytes"
        if (sha256 := measure_file(path).sha256) != file.sha256:
            return f"{name} has the sha256 {sha256[:12]}… instead of {file.sha256[:12]}…"
    return None


def verify_language(folder: Path, language: str) -> None:
    """Raise SettingsInvalid for a language that the model does not support."""
    vocabulary = _vocabulary(folder)
    if len(vocabulary) < MIN_MULTILINGUAL_VOCABULARY and language != "en":
        raise SettingsInvalid(
            f"The Whisper model {folder.name} only supports English, and CALLPIPELINE_LANGUAGE is "
            f"{language}: use one without .en in its name."
        )
    if f"<|{language}|>" not in vocabulary:
        raise SettingsInvalid(
            f"The Whisper model {folder.name} doesn't support the language {language}."
        )


def verify_device(device: str, compute_type: str) -> None:
    """Raise SettingsInvalid for a device or compute type that this machine does not support."""
    if (device, compute_type) == ("cpu", "int8"):
        return  # always supported: no need to load the library
    from ctranslate2 import get_supported_compute_types

    try:
        supported = get_supported_compute_types(device)
    except (RuntimeError, ValueError) as error:
        raise SettingsInvalid(
            f"CALLPIPELINE_WHISPER_DEVICE is {device}, which this machine doesn't have: {error}"
        ) from error
    if compute_type not in supported | {"auto", "default"}:
        raise SettingsInvalid(
            f"CALLPIPELINE_WHISPER_COMPUTE_TYPE is {compute_type}; {device} on this machine "
            f"supports {', '.join(sorted(supported))}."
        )


def folder_size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _vocabulary(folder: Path) -> list[str]:
    lists = sorted(folder.glob("vocabulary.*"))
    if not lists:
        raise ValueError("vocabulary.json is missing")
    text = lists[0].read_text(encoding="utf-8")
    if lists[0].suffix == ".json":
        return json.loads(text)
    return text.removesuffix("\n").split("\n")  # tokens may hold other line separators


def _read_variables(folder: Path) -> Mapping[bytes, tuple[int, ...]]:
    """Parse the files of a model; return the shapes of its variables. Raises SettingsInvalid."""
    try:
        _vocabulary(folder)
        for name in ("config.json", "tokenizer.json"):
            json.loads((folder / name).read_bytes())
        with (folder / "model.bin").open("rb") as file:
            return _walk_variables(file, (folder / "model.bin").stat().st_size)
    except (ValueError, EOFError, OSError, struct.error) as error:
        raise SettingsInvalid(
            f"The Whisper model in {folder} is damaged ({error}): pull or copy it again."
        ) from error


def _walk_variables(file: BinaryIO, size: int) -> dict[bytes, tuple[int, ...]]:
    """Return the shape of each variable. Raises ValueError, or EOFError if truncated.

    Strings are prefixed by their length and end with NUL. A variable has a name, rank, shape, type,
    size in bytes and content. Aliases follow the variables.
    """
    shapes: dict[bytes, tuple[int, ...]] = {}
    version = _read_number(file, "I")
    if version not in SUPPORTED_BINARY_VERSIONS:
        if version > SUPPORTED_BINARY_VERSIONS[-1] and size > 1000:
            return shapes
        raise ValueError("model.bin has an unknown version")
    if _read_string(file) != b"WhisperSpec":
        raise ValueError("model.bin is not a Whisper model")
    _read_number(file, "I")  # the revision of the specification
    for _ in range(_read_number(file, "I")):
        name = _read_string(file)
        shapes[name] = tuple(_read_number(file, "I") for _ in range(_read_number(file, "B")))
        _read_number(file, "B")  # the type
        file.seek(_read_number(file, "I"), 1)
        if file.tell() > size:
            raise EOFError("model.bin is truncated")
    for _ in range(_read_number(file, "I")):
        for _ in ("alias", "variable"):
            _read_string(file)
    return shapes


def _read_number(file: BinaryIO, type_code: str) -> int:
    return struct.unpack(f"<{type_code}", _read_exactly(file, struct.calcsize(type_code)))[0]


def _read_string(file: BinaryIO) -> bytes:
    return _read_exactly(file, _read_number(file, "H")).removesuffix(b"\0")


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError("model.bin is truncated")
    return content
