"""Keys of objects."""

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Stage
from callpipeline.storage.objects import keys
from tests.builders import a_recording


def test_keys_never_change():
    # Literal: objects that are stored under these keys must be found permanently.
    assert keys.channel_audio("2026-03-02-0123456789ab", Channel.LEFT) == (
        "calls/2026-03-02-0123456789ab/left.flac"
    )
    assert keys.transcript("2026-03-02-0123456789ab", Channel.MIXED) == (
        "calls/2026-03-02-0123456789ab/transcript.mixed.json"
    )


def test_no_key_contains_the_name_of_the_recording():
    call_id = a_recording("Mrs Smith 555-1234.wav").call_id
    assert "Smith" not in keys.channel_audio(call_id, Channel.LEFT)


def test_no_two_objects_of_a_call_share_a_key():
    all_keys = [make("id", channel) for make in (keys.channel_audio, keys.transcript)
                for channel in Channel]  # fmt: skip
    assert len(set(all_keys)) == len(all_keys)


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        (keys.inbox("0a1b2c3d4e5f" * 5, "call.wav"), ""),
        ("3abaea2c9207361bb075/call.wav", ""),
        ("call.wav", ""),
        ("2026/11/call.wav", "2026/11"),
        ("decade/call.wav", "decade"),
    ],
)
def test_the_folder_of_an_upload_is_not_displayed(key: str, folder: str):
    assert keys.source_folder(key) == folder


def test_stage_names_never_change():
    """They are Dagster's asset keys and the ledger's `call_stages.stage`."""
    assert [str(stage) for stage in Stage] == [
        "channel_audio",
        "call_metrics",
        "transcripts",
        "competitor_mentions",
        "competitor_sentiment",
    ]
