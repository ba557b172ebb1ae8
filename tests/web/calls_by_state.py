"""Calls in every state, with realistic and hostile names."""

from pathlib import Path
from typing import Any

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import EngineUnavailable, UnsupportedAudio
from callpipeline.wiring import Storage
from tests.builders import (
    a_judgement,
    a_mention,
    a_split,
    a_transcript,
    a_write,
    channel_files,
    some_metrics,
)
from tests.integration.calls import change, enter, erase

RUN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
NAMES = (
    'quotes "and" <b>bold</b> & more.wav',
    "\u202eexe.gnp العربية 🎧 call.mp3",
    "n" * 1020 + ".wav",
)
"""Names that pages must display."""


def claimed(storage: Storage, key: str, **how: Any) -> str:
    """A call that a run has claimed."""
    [call_id] = enter(storage, key, **how)
    storage.claims.claim([call_id], RUN)
    storage.claims.begin(call_id, RUN)
    return call_id


def split(storage: Storage, call_id: str, folder: Path) -> None:
    """Store the split recording."""
    audio = a_split()
    write = a_write(call_id, Stage.CHANNEL_AUDIO, RUN)
    storage.results.save_audio(write, audio, channel_files(audio, folder))


def find(storage: Storage, call_id: str, **competitors: Sentiment) -> None:
    """Store a transcript with one mention of each competitor and its sentiment."""
    texts = [f"they say {name} is what they want" for name in competitors]
    mentions = [a_mention(name, segment_index=at) for at, name in enumerate(competitors)]
    judgements = [a_judgement(each, competitors[each.competitor]) for each in mentions]
    results = storage.results
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS, RUN), some_metrics())
    results.save_transcripts(
        a_write(call_id, Stage.TRANSCRIPTS, RUN), [a_transcript(*texts, channel=Channel.RIGHT)]
    )
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS, RUN), mentions)
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT, RUN), judgements)


def completed(storage: Storage, key: str, folder: Path, **competitors: Sentiment) -> str:
    call_id = claimed(storage, key, metadata={"agent": "Ann O'Neill"})
    split(storage, call_id, folder)
    find(storage, call_id, **competitors)
    storage.claims.complete(call_id, RUN)
    return call_id


def failed(storage: Storage, key: str) -> str:
    call_id = claimed(storage, key)
    error = UnsupportedAudio("This is an image (PNG), not audio.")
    storage.claims.fail(call_id, RUN, Stage.CHANNEL_AUDIO, error)
    return call_id


def one_per_state(storage: Storage, folder: Path) -> dict[str, str]:
    """Return a call in each state, by state; the last one is the newest."""
    named = {"Vodafone": Sentiment.POSITIVE, "Sky": Sentiment.NEGATIVE}
    calls = {
        "erased": enter(storage, "gone.wav")[0],
        "completed": completed(storage, "2026/03/completed.wav", folder, **named),
        "failed": failed(storage, "broken.wav"),
        "put off": claimed(storage, "put-off.wav"),
        "waiting": enter(storage, "waiting.wav")[0],
        "processing": claimed(storage, "at-work.wav"),
        "duplicate": enter(storage, "copy.wav")[0],
    }
    erase(storage, calls["erased"])
    split(storage, calls["processing"], folder)
    away = EngineUnavailable("The recogniser did not answer within 30 s.")
    storage.claims.fail(calls["put off"], RUN, Stage.TRANSCRIPTS, away)
    change(storage, [calls["put off"]], next_attempt_at="now() + interval '1 hour'")
    first = f"'{calls['completed']}'"
    change(storage, [calls["duplicate"]], state="'DUPLICATE'", duplicate_of=first)
    for minute, call_id in enumerate(calls.values()):
        change(storage, [call_id], created_at=f"timestamptz '2026-03-02 10:{minute:02}Z'")
    return calls
