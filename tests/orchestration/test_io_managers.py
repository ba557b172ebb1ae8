"""IO managers: assets of a call as DataFrames and documents, and what is stored through them."""

import dagster as dg
import pandas as pd
import pytest

from callpipeline.defs.io_managers import PostgresIOManager
from tests.orchestration.lab import Lab


def test_a_calls_mentions_load_as_a_dataframe(lab: Lab) -> None:
    call_id = lab.add_call("call")
    lab.run([call_id])
    frame = lab.definitions.load_asset_value(
        "competitor_mentions", instance=lab.instance, partition_key=call_id
    )
    assert isinstance(frame, pd.DataFrame)
    assert frame["competitor"].tolist() == ["Vodafone"]
    assert frame["speaker"].tolist() == ["customer"]
    assert frame["status"].tolist() == ["accepted"]


def test_a_calls_transcripts_and_audio_load_from_the_store(lab: Lab) -> None:
    call_id = lab.add_call("call")
    lab.run([call_id])
    load = lab.definitions.load_asset_value
    transcripts = load("transcripts", instance=lab.instance, partition_key=call_id)
    assert {t.channel for t in transcripts} == {"left", "right"}  # pyright: ignore
    audio = load("channel_audio", instance=lab.instance, partition_key=call_id)
    assert all(flac.startswith(b"fLaC") for flac in audio.values())  # pyright: ignore


def test_an_asset_without_rows_is_an_empty_frame_with_its_columns(lab: Lab) -> None:
    call_id = lab.add_call("call", said="good morning")
    lab.run([call_id])
    frame = lab.definitions.load_asset_value(
        "competitor_sentiment", instance=lab.instance, partition_key=call_id
    )
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty
    assert "sentiment" in frame.columns


def test_a_frame_replaces_the_rows_of_its_partition_and_no_others(lab: Lab) -> None:
    call_ids = [lab.add_call("one"), lab.add_call("two")]
    lab.run(call_ids)
    manager = PostgresIOManager(lab.storage)
    key = dg.AssetKey("call_metrics")
    load = lab.definitions.load_asset_value
    before = load("call_metrics", instance=lab.instance, partition_key=call_ids[0])
    assert isinstance(before, pd.DataFrame)
    context = dg.build_output_context(asset_key=key, partition_key=call_ids[0])
    manager.handle_output(context, before.assign(silence_s=42.0))
    after = [
        load("call_metrics", instance=lab.instance, partition_key=call_id) for call_id in call_ids
    ]
    assert [frame["silence_s"].tolist() != [42.0] for frame in after] == [False, True]  # pyright: ignore


def test_rows_of_another_partition_are_refused(lab: Lab) -> None:
    manager = PostgresIOManager(lab.storage)
    context = dg.build_output_context(
        asset_key=dg.AssetKey("call_metrics"), partition_key="2026-01-01-000000000000"
    )
    frame = pd.DataFrame([{"call_id": "2026-01-02-000000000000"}])
    with pytest.raises(ValueError, match="not this run's"):
        manager.handle_output(context, frame)
