"""Numbers that a customer says are nowhere after processing: in no table, file, event or sound."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from typer.testing import CliRunner

from callpipeline.cli import app
from callpipeline.config import settings
from callpipeline.domain.audio import Channel, ChannelAudio
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.competitors.mentions import Decision, MentionStatus
from callpipeline.domain.redaction.masking import count_kinds
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.errors import EngineUnavailable, MissingObject, StoreUnavailable
from callpipeline.pipeline.reading.documents import CallFormat, call_document, download
from callpipeline.pipeline.reading.playback import open_playback, waveform
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.storage.reading.search import SearchRequest
from callpipeline.wiring.engines import measure_peaks
from tests.integration.dumps import in_database, in_files
from tests.orchestration.lab import Lab
from tests.orchestration.test_sensors import change

SAID = "it is 4111 1111 double one eleven 1111 but vodafone is cheaper call 07700 900123"
MASKED = "it is [card] but vodafone is cheaper call [phone]"
SECRETS = ["4111", "double one", "07700", "900123"]
STEP_S = 0.1
"""Each word takes a tenth of the two seconds of the recording."""


@pytest.fixture(scope="module")
def lab_options() -> dict[str, Any]:
    return {"redact": ("card", "phone"), "retry_waits_s": ()}


class TimedTranscriber:
    """Hears `SAID` on the right channel, each word at its time."""

    name = "timed"
    fails = False

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        if self.fails:
            raise EngineUnavailable("The recogniser is away.")
        empty = Transcript(about.channel, about.speaker, self.name)
        if about.channel is not Channel.RIGHT or _is_silent(audio):
            return empty
        words = tuple(
            Word(text, at * STEP_S, (at + 1) * STEP_S) for at, text in enumerate(SAID.split())
        )
        end_s = words[-1].end_s
        segment = Segment(0, 0.0, end_s, about.channel, about.speaker, SAID, words)
        return Transcript(about.channel, about.speaker, self.name, (segment,))


def _is_silent(audio: Path) -> bool:
    """Return whether the card's place is muted already, so that nothing can be heard there."""
    samples, rate = soundfile.read(audio)
    return not samples[round(0.3 * rate) : round(0.6 * rate)].any()


@pytest.fixture
def transcriber(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> TimedTranscriber:
    transcriber = TimedTranscriber()
    monkeypatch.setattr(lab.engines, "transcribe", transcriber.transcribe)
    return transcriber


def samples(lab: Lab, call_id: str) -> NDArray[np.int16]:
    """Return the samples that are played, one column for each channel."""
    playback = open_playback(lab.storage.audio, call_id)
    header = len(playback.wav.header())
    data = b"".join(playback.blocks())[header:]
    return np.frombuffer(data, "<i2").reshape(-1, playback.wav.channels)


def assert_muted(lab: Lab, call_id: str, words: Sequence[int]) -> None:
    """Check that all channels are silent during these words, and only there."""
    played = samples(lab, call_id)
    rate = len(played) // 2
    silent = np.abs(played.astype(np.int32)).sum(axis=1) == 0
    for word in words:
        assert silent[round(word * STEP_S * rate) : round((word + 1) * STEP_S * rate)].all(), word
    assert silent.mean() < 0.9
    lanes = waveform(lab.storage.audio, call_id, measure_peaks)
    assert all(lane.is_stored for lane in lanes)
    at = round(words[0] * STEP_S / lanes[0].peaks.window_s) + 1
    assert [lane.peaks.maxima[at] for lane in lanes] == [0, 0]


def assert_nowhere(lab: Lab, url: str) -> None:
    assert in_database(url, SECRETS) == []
    assert in_files(lab.settings.home / "storage", SECRETS) == []


CARD, PHONE = range(2, 8), range(12, 14)


def test_numbers_are_masked_before_anything_is_stored(
    lab: Lab, database_url: str, transcriber: TimedTranscriber
) -> None:
    call_id = lab.add_call("one", said=None)
    assert lab.run([call_id]).success
    results = lab.storage.results
    [segment] = [s for t in results.transcripts(call_id) for s in t.segments]
    assert segment.text == MASKED
    assert_nowhere(lab, database_url)
    assert in_database(database_url, ["[card]"])
    assert count_kinds(results.redactions(call_id)) == {"card": 1, "phone": 1}
    assert_muted(lab, call_id, [*CARD, *PHONE])


def test_the_competitor_beside_a_number_is_found_at_its_place(
    lab: Lab, transcriber: TimedTranscriber
) -> None:
    call_id = lab.add_call("one", said=None)
    lab.run([call_id])
    [mention] = lab.storage.results.mentions(call_id)
    assert mention.competitor == "Vodafone"
    assert MASKED[mention.char_start : mention.char_end] == "vodafone"
    assert mention.start_s == pytest.approx(SAID.split().index("vodafone") * STEP_S)
    assert lab.storage.results.judgements(call_id)


def test_search_and_exports_have_the_masks(lab: Lab, transcriber: TimedTranscriber) -> None:
    call_id = lab.add_call("one", said=None)
    lab.run([call_id])
    assert lab.storage.search.best(SearchRequest("4111")) == []
    [hit] = lab.storage.search.best(SearchRequest("cheaper"))
    assert hit.text == MASKED
    record = lab.storage.ledger.calls(call_ids=[call_id])[0]
    for format in CallFormat:
        content = b"".join(download(lab.storage, record, format)).decode()
        assert "[card]" in content, format
        assert not any(secret in content for secret in SECRETS), format
    assert call_document(lab.storage, record)["redactions"] == {"card": 1, "phone": 1}


def test_dagster_knows_how_many_numbers_were_masked(
    lab: Lab, transcriber: TimedTranscriber
) -> None:
    call_id = lab.add_call("one", said=None)
    result = lab.run([call_id])
    found = {
        str(event.asset_key.path[-1]): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert found["transcripts"]["masked_card"].value == 1


def test_audio_cannot_be_played_before_it_is_muted(lab: Lab, transcriber: TimedTranscriber) -> None:
    transcriber.fails = True
    call_id = lab.add_call("one", said=None)
    lab.run([call_id])
    for read in (lambda: open_playback(lab.storage.audio, call_id),
                 lambda: waveform(lab.storage.audio, call_id, measure_peaks)):  # fmt: skip
        with pytest.raises(MissingObject, match="muted"):
            read()
    transcriber.fails = False
    lab.storage.ledger.retry([call_id])
    lab.run([call_id])
    assert_muted(lab, call_id, [*CARD, *PHONE])


def test_audio_that_is_split_again_is_muted_again(lab: Lab, transcriber: TimedTranscriber) -> None:
    call_id = lab.add_call("one", said=None)
    lab.run([call_id])
    lab.run([call_id], assets=["channel_audio"])
    assert lab.engines.used.count("splitter") == 2
    assert_muted(lab, call_id, [*CARD, *PHONE])


def test_a_transcript_of_muted_audio_still_says_what_was_there(
    lab: Lab, database_url: str, transcriber: TimedTranscriber
) -> None:
    call_id = lab.add_call("one", said=None)
    lab.run([call_id])
    lab.run([call_id], assets=["transcripts", "competitor_mentions", "competitor_sentiment"])
    said = [s.text for t in lab.storage.results.transcripts(call_id) for s in t.segments]
    assert said == ["[card]", "[phone]"]
    assert count_kinds(lab.storage.results.redactions(call_id)) == {"card": 1, "phone": 1}


def test_old_calls_are_masked_by_a_command_without_transcribing(
    lab: Lab,
    database_url: str,
    transcriber: TimedTranscriber,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = lab.settings.model_copy(update={"redact": None})
    monkeypatch.setattr(lab, "settings", off)
    call_id = lab.add_call("one", said=None)
    other = lab.add_call("two")
    lab.run([call_id, other])
    assert in_database(database_url, SECRETS)
    assert lab.storage.ledger.calls(call_ids=[other])[0].state is CallState.COMPLETED
    transcriber.fails = True
    found = lab.storage.results.mentions(call_id)
    [before] = [each for each in found if each.competitor == "Vodafone"]
    lab.storage.reviews.decide(call_id, before.mention_id, Decision.DISMISSED, "ann")
    typed = SAID.replace("cheaper", "cheaper cheaper")
    assert lab.storage.words.correct(call_id, (Channel.RIGHT, 0), typed, seen=SAID)

    use_settings(monkeypatch, lab, database_url)
    shown = CliRunner().invoke(app, ["redact", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "1 calls have numbers to mask: card 1, phone 1." in shown.output
    assert in_database(database_url, SECRETS)
    done = CliRunner().invoke(app, ["redact", "--yes"])
    assert done.exit_code == 0, done.output
    assert_nowhere(lab, database_url)
    assert lab.storage.ledger.calls(call_ids=[call_id])[0].state is CallState.COMPLETED
    assert_muted(lab, call_id, [*CARD, *PHONE])
    [mention] = lab.storage.results.mentions(call_id)
    assert MASKED[mention.char_start : mention.char_end] == "vodafone"
    assert mention.mention_id != before.mention_id
    assert mention.status is MentionStatus.DISMISSED
    [said] = [each.segments[0].text for each in lab.storage.results.transcripts(call_id)[1:]]
    assert said == MASKED.replace("cheaper", "cheaper cheaper"), "corrected once"
    again = CliRunner().invoke(app, ["redact", "--yes"])
    assert "No stored transcript has numbers to mask." in again.output


def test_a_call_is_masked_although_retention_has_deleted_its_audio(
    lab: Lab,
    database_url: str,
    transcriber: TimedTranscriber,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = lab.settings.model_copy(update={"redact": None})
    monkeypatch.setattr(lab, "settings", off)
    call_id = lab.add_call("one", said=None)
    lab.run([call_id])
    for found in lab.storage.store.list(f"calls/{call_id}"):
        if found.key.endswith(".flac"):
            lab.storage.store.delete(found.key)
    deletion = "INSERT INTO deletions (what, why, call_id, items) VALUES (%s, 'retention', %s, 2)"
    change(lab, deletion, Stage.CHANNEL_AUDIO.value, call_id)
    use_settings(monkeypatch, lab, database_url)
    done = CliRunner().invoke(app, ["redact", "--yes"])
    assert done.exit_code == 0, done.output
    assert_nowhere(lab, database_url)
    assert lab.storage.ledger.calls(call_ids=[call_id])[0].state is CallState.COMPLETED


OBJECTS = 6
"""Objects that a redaction replaces: transcript, audio and peaks of two channels."""


@pytest.mark.parametrize("stored", range(OBJECTS))
def test_a_run_that_dies_between_two_files_leaves_no_number_audible(
    lab: Lab,
    database_url: str,
    transcriber: TimedTranscriber,
    monkeypatch: pytest.MonkeyPatch,
    stored: int,
) -> None:
    """The next run can't hear the number any more in the channels that were muted already."""
    with monkeypatch.context() as before:
        before.setattr(lab, "settings", lab.settings.model_copy(update={"redact": None}))
        call_id = lab.add_call("one", said=None)
        lab.run([call_id])
    assert samples(lab, call_id).any()
    from_transcripts = ["transcripts", "competitor_mentions", "competitor_sentiment"]
    with monkeypatch.context() as dying:
        seen = die_after(stored, dying)
        lab.run([call_id], assets=from_transcripts)
    assert len(seen) == stored + 1
    with pytest.raises(MissingObject, match="muted"):
        open_playback(lab.storage.audio, call_id)
    lab.storage.ledger.retry([call_id])
    lab.run([call_id])
    assert_nowhere(lab, database_url)
    assert_muted(lab, call_id, [*CARD, *PHONE])


def die_after(count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a run die when it has stored this many muted objects; return the keys it came to."""
    seen: list[str] = []
    put_all = FolderStore.put_all

    def put_some(
        store: FolderStore,
        contents: Mapping[str, bytes | Path],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if not any(key.endswith(".flac") for key in contents):
            put_all(store, contents, check)
            return
        # The channel in which the number can be heard best comes first.
        ordered = sorted(contents, key=lambda key: "right" not in key)

        def checked() -> None:
            check()
            seen.append(ordered[len(seen)])
            if len(seen) > count:
                raise StoreUnavailable("The run dies here.")

        put_all(store, {key: contents[key] for key in ordered}, checked)

    monkeypatch.setattr(FolderStore, "put_all", put_some)
    return seen


def use_settings(monkeypatch: pytest.MonkeyPatch, lab: Lab, url: str) -> None:
    """Let commands use the lab's data and database, with redaction on."""
    for name, value in {
        "HOME": str(lab.settings.home),
        "DATABASE_URL": url,
        "REDACT": "card,phone",
        "SENTIMENT": "lexicon",
        "TRANSCRIBER": "pocketsphinx",
        "MODEL_DOWNLOAD": "off",
    }.items():
        monkeypatch.setenv(f"CALLPIPELINE_{name}", value)
    settings.cache_clear()
    monkeypatch.chdir(lab.folder)  # away from a .env


def test_the_command_needs_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLPIPELINE_REDACT", raising=False)
    settings.cache_clear()
    refused = CliRunner().invoke(app, ["redact"])
    assert refused.exit_code == 1
    assert "CALLPIPELINE_REDACT" in refused.output
