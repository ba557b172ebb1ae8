"""Runs over every file of ../shared/audio: each ends with a result or a clear reason.

Skipped without that folder. Speech is not transcribed here, which takes minutes;
`test_pocketsphinx` does that.
"""

import shutil
from pathlib import Path

import pytest

from callpipeline.domain.calls.call import CallState
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.pipeline.ingest.registration import ingest_file
from tests.orchestration.lab import Lab

SHARED = Path(__file__).resolve().parents[3] / "shared" / "audio"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/audio here")


def run_over(lab: Lab, folder: str) -> dict[str, tuple[CallState, str]]:
    """Return the state of each recording of the folder, with its reason or issues."""
    detector = SileroSpeechDetector()
    lab.engines.detect = detector.detect
    for path in sorted((SHARED / folder).iterdir()):
        if path.suffix != ".txt":
            copy = lab.folder / path.name
            shutil.copyfile(path, copy)
            ingest_file(copy, lab.storage.inbox, lab.storage.ledger, lab.storage.home)
    lab.run([record.call_id for record in reversed(lab.storage.ledger.calls())])
    return {
        Path(record.key).name: (
            record.state,
            record.error_message or "; ".join(flag.detail for flag in record.flags),
        )
        for record in lab.storage.ledger.calls()
    }


@pytest.mark.slow
def test_every_real_call_is_processed(lab: Lab) -> None:
    ended = run_over(lab, "calls")
    assert len(ended) >= 7
    assert {state for state, _ in ended.values()} == {CallState.COMPLETED}


def test_every_broken_file_ends_with_a_result_or_a_reason(lab: Lab) -> None:
    ended = run_over(lab, "broken")
    assert len(ended) >= 16
    failed = {name: reason for name, (state, reason) in ended.items() if state == "FAILED"}
    assert {state for state, _ in ended.values()} == {CallState.COMPLETED, CallState.FAILED}
    assert not [reason for reason in failed.values() if "Internal error" in reason]
    assert "empty" in failed["derived_zero_bytes.wav"]
    assert "text" in failed["derived_text_named.mp3"]
    assert "LFS" in failed["git_lfs_pointer_named.wav"]
    assert "but the header says" in ended["derived_truncated_header_claims_full_length.wav"][1]
