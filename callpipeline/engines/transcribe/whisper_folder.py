"""What a folder must hold to be a Whisper model for CTranslate2; looked at without loading it.

A model takes seconds to load and is loaded in other processes, calls later: what is wrong with it
should be known before a call is taken.
"""

import json
import struct
from pathlib import Path
from typing import BinaryIO

from callpipeline.errors import SettingsInvalid

FILES = (
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.json",
    "vocabulary.txt",
)
"""What is fetched of a model; some have no preprocessor_config.json, and need none, and each has
one vocabulary. Whole names: a hub's "vocabulary.x/../../y" fits a pattern, and leads elsewhere."""
BINARY_VERSIONS = range(4, 7)
"""Of model.bin, whose layout is walked through; a newer one is left to CTranslate2 to judge."""
MULTILINGUAL_FROM = 51_865
"""Words in the vocabulary from which on CTranslate2 takes a model for one of many languages."""


def check(folder: Path) -> None:
    """Raises SettingsInvalid, with a sentence, for a folder that is no whole Whisper model."""
    if not folder.is_dir():
        raise SettingsInvalid(f"There is no folder {folder}.")
    if any(folder.glob("*.safetensors")) or (folder / "pytorch_model.bin").exists():
        raise SettingsInvalid(
            f"{folder} is a model for Transformers: make one for CTranslate2 of it, with "
            "`ct2-transformers-converter --model FOLDER --output_dir NEW --quantization int8 "
            "--copy_files tokenizer.json preprocessor_config.json`."
        )
    for name in ("model.bin", "config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise SettingsInvalid(
                f"{folder} holds no {name}, so it is no Whisper model for CTranslate2 (a folder "
                "as `callpipeline models pull small` fetches it)."
            )
    try:
        _vocabulary(folder)
        for name in ("config.json", "tokenizer.json"):
            json.loads((folder / name).read_bytes())
        with (folder / "model.bin").open("rb") as file:
            _walk(file, (folder / "model.bin").stat().st_size)
    except (ValueError, EOFError, OSError, struct.error) as error:
        raise SettingsInvalid(
            f"The Whisper model in {folder} is damaged ({error}): pull or copy it again."
        ) from error


def check_language(folder: Path, language: str) -> None:
    """Raises SettingsInvalid for a language that the model does not know."""
    vocabulary = _vocabulary(folder)
    if len(vocabulary) < MULTILINGUAL_FROM and language != "en":
        raise SettingsInvalid(
            f"The Whisper model {folder.name} knows English only, and CALLPIPELINE_LANGUAGE is "
            f"{language}: take one without .en in its name."
        )
    if f"<|{language}|>" not in vocabulary:
        raise SettingsInvalid(f"The Whisper model {folder.name} knows no language {language}.")


def check_computing(device: str, compute_type: str) -> None:
    """Raises SettingsInvalid for a device or type of numbers that this machine has not."""
    if (device, compute_type) == ("cpu", "int8"):
        return  # always there: its library need not be loaded for this
    from ctranslate2 import get_supported_compute_types

    try:
        known = get_supported_compute_types(device)
    except (RuntimeError, ValueError) as error:
        raise SettingsInvalid(
            f"CALLPIPELINE_WHISPER_DEVICE is {device}, which this machine has not: {error}"
        ) from error
    if compute_type not in known | {"auto", "default"}:
        raise SettingsInvalid(
            f"CALLPIPELINE_WHISPER_COMPUTE_TYPE is {compute_type}; on {device} this machine has "
            f"{', '.join(sorted(known))}."
        )


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _vocabulary(folder: Path) -> list[str]:
    lists = sorted(folder.glob("vocabulary.*"))
    if not lists:
        raise ValueError("vocabulary.json is missing")
    text = lists[0].read_text(encoding="utf-8")
    return json.loads(text) if lists[0].suffix == ".json" else text.split("\n")


def _walk(file: BinaryIO, size: int) -> None:
    """From header to header, over the weights; raises where the file ends too early.

    Strings have their length before them and a NUL at their end; a variable is its name, rank,
    shape, type, size in bytes and content; after all variables there are aliases.
    """
    version = _number(file, "I")
    if version not in BINARY_VERSIONS:
        if version > BINARY_VERSIONS[-1] and size > 1000:
            return
        raise ValueError("model.bin is of no version that is known")
    if _string(file) != b"WhisperSpec":
        raise ValueError("model.bin is not of a Whisper model")
    _number(file, "I")  # the revision of the specification
    for _ in range(_number(file, "I")):
        _string(file)
        file.seek(4 * _number(file, "B") + 1, 1)
        file.seek(_number(file, "I"), 1)
        if file.tell() > size:
            raise EOFError("model.bin ends too early")
    for _ in range(_number(file, "I")):
        for _ in ("the alias", "the variable it stands for"):
            _string(file)


def _number(file: BinaryIO, form: str) -> int:
    return struct.unpack(f"<{form}", _exactly(file, struct.calcsize(form)))[0]


def _string(file: BinaryIO) -> bytes:
    return _exactly(file, _number(file, "H")).removesuffix(b"\0")


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError("model.bin ends too early")
    return content
