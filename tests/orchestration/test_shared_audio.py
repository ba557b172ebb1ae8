"""Every file of ../shared/audio through a run: each ends with a result or an understandable reason.

Skipped where the folder is not beside the repository. Speech is not recognised here, which takes
minutes; `test_pocketsphinx` does that.
"""

import shutil
from pathlib import Path

import pytest

from callpipeline.domain.call import CallState
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.pipeline.ingest import ingest
from tests.orchestration.lab import Lab

SHARED = Path(__file__).resolve().parents[3] / "shared" / "audio"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/audio here")


def run_over(lab: Lab, folder: str) -> dict[str, tuple[CallState, str]]:
    """How each recording of the folder ended, with its reason or what is wrong with it."""
    detector = SileroSpeechDetector()
    lab.listening.detect = detector.detect
    for path in sorted((SHARED / folder).iterdir()):
        if path.suffix != ".txt":
            copy = lab.folder / path.name
            shutil.copyfile(path, copy)
            ingest(copy, lab.storage.inbox, lab.storage.ledger, lab.storage.home)
    lab.run([record.call_id for record in reversed(lab.storage.ledger.calls())])
    return {
        Path(record.key).name: (
            record.state,
            record.error_message or "; ".join(flag["detail"] for flag in record.flags),
        )
        for record in lab.storage.ledger.calls()
    }


def test_every_real_call_is_processed(lab: Lab) -> None:
    ended = run_over(lab, "calls")
    assert len(ended) >= 7
    assert {state for state, _ in ended.values()} == {CallState.COMPLETED}


def test_every_broken_file_ends_with_a_result_or_a_reason(lab: Lab) -> None:
    ended = run_over(lab, "broken")
    assert len(ended) >= 16
    failed = {name: reason for name, (state, reason) in ended.items() if state == "FAILED"}
    assert {state for state, _ in ended.values()} == {CallState.COMPLETED, CallState.FAILED}
    assert not [reason for reason in failed.values() if "error of its own" in reason]
    assert "empty" in failed["derived_zero_bytes.wav"]
    assert "text" in failed["derived_text_named.mp3"]
    assert "LFS" in failed["git_lfs_pointer_named.wav"]
    assert "although its header says" in ended["derived_truncated_header_claims_full_length.wav"][1]
