"""I/O managers: assets of a call as DataFrames and documents, and stored downstream assets."""

import dagster as dg
import pandas as pd
import pytest

from callpipeline.defs.partitions import calls
from callpipeline.defs.resources import PostgresIOManager
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
    assert frame["status"].tolist() == ["counted"]


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


def downstream(lab: Lab) -> dg.Definitions:
    """Return definitions with a mart of one row a call, computed from its mentions."""

    @dg.asset(
        partitions_def=calls,
        io_manager_key="postgres",
        metadata={"table": "mentions_of_call", "partition_column": "call_id"},
    )
    def mentions_of_call(
        context: dg.AssetExecutionContext, competitor_mentions: pd.DataFrame
    ) -> pd.DataFrame:
        counted = len(competitor_mentions)
        return pd.DataFrame([{"call_id": context.partition_key, "mentions": counted}])

    with lab.storage.database.transaction() as connection:
        connection.execute("CREATE TABLE mentions_of_call (call_id text, mentions integer)")
    return dg.Definitions.merge(lab.definitions, dg.Definitions(assets=[mentions_of_call]))


def test_a_mart_downstream_reads_and_writes_frames(lab: Lab) -> None:
    call_ids = [lab.add_call("one"), lab.add_call("two", said="good morning")]
    lab.run(call_ids)
    definitions = downstream(lab)
    job = definitions.resolve_implicit_global_asset_job_def()
    for call_id in (*call_ids, call_ids[0]):
        run = job.execute_in_process(
            instance=lab.instance,
            partition_key=call_id,
            asset_selection=[dg.AssetKey("mentions_of_call")],
        )
        assert run.success
    loaded = [
        definitions.load_asset_value(
            "mentions_of_call", instance=lab.instance, partition_key=call_id
        )
        for call_id in call_ids
    ]
    assert [frame["mentions"].tolist() for frame in loaded] == [[1], [0]]  # pyright: ignore


def test_rows_of_another_partition_are_rejected(lab: Lab) -> None:
    context = dg.build_output_context(
        asset_key=dg.AssetKey("a_mart"),
        partition_key="2026-01-01-000000000000",
        definition_metadata={"table": "a_mart", "partition_column": "call_id"},
    )
    frame = pd.DataFrame([{"call_id": "2026-01-02-000000000000"}])
    with pytest.raises(ValueError, match="outside this run"):
        PostgresIOManager(lab.storage).handle_output(context, frame)


@pytest.mark.parametrize("asset", ["call_metrics", "competitor_mentions", "competitor_sentiment"])
def test_the_assets_of_a_call_are_only_written_under_its_claim(lab: Lab, asset: str) -> None:
    context = dg.build_output_context(asset_key=dg.AssetKey(asset), partition_key="x")
    with pytest.raises(dg.DagsterInvariantViolationError, match="under its claim"):
        PostgresIOManager(lab.storage).handle_output(context, pd.DataFrame())


def test_an_asset_without_a_table_is_rejected(lab: Lab) -> None:
    context = dg.build_output_context(asset_key=dg.AssetKey("a_mart"), partition_key="x")
    with pytest.raises(dg.DagsterInvariantViolationError, match="partition_column"):
        PostgresIOManager(lab.storage).handle_output(context, pd.DataFrame())
