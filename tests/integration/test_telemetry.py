"""No library reports to its makers what runs here."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os
import callpipeline
from callpipeline.engines.speech import SileroSpeechDetector
SileroSpeechDetector()
import onnxruntime
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""


def run(home: Path) -> str:
    """Open the speech detector with `home` as home folder; return the setting in force."""
    settings = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.check_output([sys.executable, "-c", PROGRAM], env=settings, text=True).strip()


def test_onnxruntime_writes_no_device_id_and_reports_nothing(tmp_path: Path) -> None:
    assert run(tmp_path) == "1"
    assert list(tmp_path.rglob("*")) == []
