"""Real Whisper models for tests; `python -m tests.models` pulls them into .models.

They are looked for in the folder CALLPIPELINE_TEST_MODELS if it is set, else in .models and among
the models of ./data.
"""

import os
import sys
from pathlib import Path

from callpipeline.cli.models import download_progress
from callpipeline.engines.models.registry import ModelRegistry
from callpipeline.errors import CallpipelineError

ROOT = Path(__file__).resolve().parents[1]
PULLED = ROOT / ".models"
NAMES = ("base", "tiny.en")


def find_model(name: str) -> Path | None:
    """Return the folder of a verified model, or None."""
    named = os.environ.get("CALLPIPELINE_TEST_MODELS")
    for folder in [Path(named)] if named else [PULLED, ROOT / "data" / "models" / "whisper"]:
        if (folder / name / "model.bin").is_file():
            return folder / name
    return None


def missing(name: str) -> str:
    """Return the reason why tests with a model are skipped."""
    return f"there is no Whisper model {name}: run `python -m tests.models`"


def main() -> int:
    """Pull the models that are missing; returns 1 if no source of one could be reached."""
    failures = 0
    for name in NAMES:
        if find_model(name):
            continue
        try:
            with download_progress() as progress:
                ModelRegistry(PULLED).pull(name, progress=progress)
        except CallpipelineError as error:
            print(error, file=sys.stderr)
            failures = 1
    return failures


if __name__ == "__main__":
    sys.exit(main())
