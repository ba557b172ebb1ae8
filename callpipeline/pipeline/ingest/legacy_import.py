"""Import of the calls of the system that callpipeline replaces, without their recordings.

Each job becomes a call whose id follows from the job's UUID, so that a repeated import changes
nothing, and one that was interrupted goes on. What can't be read is named and left out.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from callpipeline.domain.audio import Channel, speaker_of
from callpipeline.domain.calls.call import CallState, Recording
from callpipeline.domain.calls.legacy import IMPORTED_BUCKET, IMPORTED_REASON, is_uuid
from callpipeline.domain.competitors.catalog import Catalog, normalise
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.redaction.imported import mask_text
from callpipeline.domain.redaction.masking import MaskedSpan, RedactionPolicy, redact
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcripts import Segment, Transcript, is_storable
from callpipeline.errors import MissingObject, TranscriptInvalid
from callpipeline.storage.objects.ports import MAX_KEY_BYTES, ObjectStore
from callpipeline.storage.ports.imports import (
    ImportedCall,
    ImportOutcome,
    ImportStore,
    OldDatabase,
    OldJob,
    OldRow,
    ParseTranscript,
)

ENGINE = "imported"
UNFINISHED = "This job hadn't ended in the old system: upload its recording again."
NO_REASON = "The old system gave no reason."
BEYOND_SEGMENTS = 100_000
"""Index of the first segment that no transcript has, for mentions whose segment is unknown."""
SCORES = {Sentiment.POSITIVE: 1.0, Sentiment.NEGATIVE: -1.0}
SIDES = (Channel.LEFT, Channel.RIGHT)


class _Unreadable(Exception):
    """A row can't be read; the message says why, without quoting the call."""


@dataclass
class ImportReport:
    """Counts of an import; `problems` name what was left out."""

    jobs: int = 0
    calls: Counter[ImportOutcome] = field(default_factory=Counter[ImportOutcome])
    transcripts: int = 0
    results: int = 0
    repeated_results: int = 0
    unfinished: int = 0
    problems: list[str] = field(default_factory=list[str])


class LegacyImport:
    """Imports jobs one after the other. `bucket` has the old transcripts; None leaves them out."""

    def __init__(
        self,
        store: ImportStore,
        bucket: ObjectStore | None,
        parse: ParseTranscript,
        catalog: Catalog,
        agent_channel: str,
        policy: RedactionPolicy,
    ) -> None:
        """`policy` says what is masked before anything is stored."""
        self._store = store
        self._masking = _Masking(policy)
        self._bucket = bucket
        self._parse = parse
        self._agent_channel = agent_channel
        self._names = {
            normalise(name): competitor.name
            for competitor in catalog.competitors
            for name in competitor.listed_names
        }

    def run(
        self, database: OldDatabase, progress: Callable[[ImportReport], None] = lambda report: None
    ) -> ImportReport:
        """Import everything; `progress` gets the report after each job."""
        report = ImportReport()
        for job in database.jobs():
            report.jobs += 1
            try:
                self._import(job, report)
            except _Unreadable as error:
                report.problems.append(f"job {job.row['id']}: {error}")
            progress(report)
        report.problems += [
            f"sentiment result {each}: its job is missing" for each in database.orphans()
        ]
        return report

    def _import(self, job: OldJob, report: ImportReport) -> None:
        recording, state = _recording(job.row), _state(job.row)
        documents = dict(self._documents(job.row, report))
        said = tuple(self._transcripts(job.row, documents, report))
        transcripts, masked = self._masking.transcripts(said)
        # Results quote what was said: they are found there, and refer to the masked segment.
        segments = {
            before: after
            for one, other in zip(said, transcripts, strict=True)
            for before, after in zip(one.segments, other.segments, strict=True)
        }
        mentions, judgements = self._mentions(job, segments, report)
        ended_at = _moment(job.row, "completed_at", "updated_at", "created_at")
        judged_at = max(
            [_moment(each, "created_at", default=ended_at) for each in job.results] or [ended_at]
        )
        is_failed = state is not CallState.COMPLETED
        is_unfinished = job.row["status"] not in ("COMPLETED", "FAILED")
        reason = UNFINISHED if is_unfinished else job.row.get("error_message") or NO_REASON
        report.unfinished += is_unfinished
        call = ImportedCall(
            recording=recording,
            state=state,
            error_message=self._masking.text(str(reason)) if is_failed else None,
            created_at=recording.last_modified,
            ended_at=ended_at,
            judged_at=judged_at,
            transcripts=transcripts,
            mentions=mentions,
            judgements=judgements,
            masked=masked,
            masked_kinds=self._masking.kinds,
            fingerprint=_fingerprint(job, documents, self._masking.name),
        )
        outcome = self._store.save(call)
        report.calls[outcome] += 1
        if outcome in (ImportOutcome.NEW, ImportOutcome.UPDATED):
            report.transcripts += len(transcripts)
            report.results += len(judgements)

    def _documents(self, row: OldRow, report: ImportReport) -> Iterator[tuple[Channel, bytes]]:
        """Yield the stored transcripts of a job; a missing one is reported."""
        for channel in SIDES:
            path = row.get(f"{channel}_transcript_path")
            if not path or self._bucket is None:
                continue
            try:
                yield channel, self._bucket.read(_key(str(path), self._bucket.name))
            except MissingObject:
                report.problems.append(f"job {row['id']}: its {channel} transcript is missing")

    def _transcripts(
        self, row: OldRow, documents: dict[Channel, bytes], report: ImportReport
    ) -> Iterator[Transcript]:
        for channel, content in documents.items():
            try:
                found = self._parse(content, channel)
            except TranscriptInvalid as error:
                report.problems.append(f"job {row['id']}: its {channel} transcript: {error}")
            else:
                yield found

    def _mentions(
        self, job: OldJob, segments: Mapping[Segment, Segment], report: ImportReport
    ) -> tuple[tuple[Mention, ...], tuple[Judgement, ...]]:
        """Return a mention and a judgement for each sentiment result; repeated ones are merged."""
        found: dict[str, tuple[Mention, Judgement]] = {}
        newest_last = sorted(
            job.results, key=lambda row: (str(row.get("created_at")), str(row["id"]))
        )
        for row in newest_last:
            try:
                segment = self._segment(row, segments)
                mention = self._mention(row, segment)
                judgement = self._judgement(row, mention, segment)
            except _Unreadable as error:
                report.problems.append(f"sentiment result {row['id']}: {error}")
                continue
            report.repeated_results += mention.mention_id in found
            found[mention.mention_id] = (mention, judgement)
        pairs = tuple(found.values())
        return tuple(mention for mention, _ in pairs), tuple(judged for _, judged in pairs)

    def _mention(self, row: OldRow, segment: Segment) -> Mention:
        name = _text(row, "competitor_name")
        if not name.strip():
            raise _Unreadable("it names no competitor")
        said = self._masking.text(str(row.get("context") or name))
        at = max(segment.text.lower().find(said.lower()), 0)
        return Mention(
            competitor=self._names.get(normalise(name), name.strip()),
            alias=name.strip(),
            text=segment.text[at : at + len(said)],
            channel=segment.channel,
            speaker=segment.speaker,
            segment_index=segment.index,
            char_start=at,
            char_end=min(at + len(said), len(segment.text)),
            start_s=segment.start_s,
            end_s=segment.end_s,
            confidence=None,
            status=MentionStatus.COUNTED,
            reason=IMPORTED_REASON,
        )

    def _segment(self, row: OldRow, segments: Mapping[Segment, Segment]) -> Segment:
        """Return the segment of a result, masked: by its text and time, else one only it knows.

        The old system judged the right channel only, so that comes first.
        """
        text, start_s = _text(row, "segment_text"), _number(row, "start_time")
        end_s = max(_number(row, "end_time"), start_s)
        wanted = normalise(text)
        same = [segment for segment in segments if normalise(segment.text) == wanted]
        if same:
            return segments[
                min(same, key=lambda s: (abs(s.start_s - start_s), s.channel is not Channel.RIGHT))
            ]
        index = BEYOND_SEGMENTS + int(_number(row, "segment_id"))
        speaker = speaker_of(Channel.RIGHT, self._agent_channel)
        return Segment(index, start_s, end_s, Channel.RIGHT, speaker, self._masking.text(text))

    def _judgement(self, row: OldRow, mention: Mention, segment: Segment) -> Judgement:
        try:
            sentiment = Sentiment(str(row["sentiment"]).strip().lower())
        except ValueError:
            raise _Unreadable("its sentiment is none of positive, neutral, negative") from None
        method, details = row.get("detection_method"), row.get("detection_details")
        rule = ": ".join(" ".join(str(each).split()) for each in (method, details) if each)
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=sentiment,
            score=SCORES.get(sentiment, 0.0),
            rule=self._masking.text(rule.replace("\0", "")) or IMPORTED_REASON,
            quote=segment.text,
            engine=ENGINE,
        )


class _Masking:
    """Masks numbers in what is imported; without a policy, it changes nothing."""

    def __init__(self, policy: RedactionPolicy) -> None:
        self._policy = policy
        self.kinds = policy.kinds
        self.name = " ".join(sorted(policy.kinds))

    def transcripts(
        self, said: tuple[Transcript, ...]
    ) -> tuple[tuple[Transcript, ...], tuple[MaskedSpan, ...]]:
        return redact(said, self._policy) if self._policy.kinds else (said, ())

    def text(self, text: str) -> str:
        """Return a text masked that is in no transcript."""
        return mask_text(text, self._policy)


def _recording(row: OldRow) -> Recording:
    """Return the recording of a job, which isn't imported; its identity gives the call's id."""
    job_id = str(row["id"]).lower()
    if not is_uuid(job_id):
        raise _Unreadable("its id is not a UUID")
    name = _text(row, "filename").replace("/", "_").strip() or "recording"
    fits = name.encode("utf-8", "replace")[: MAX_KEY_BYTES - 40].decode("utf-8", "ignore")
    at = _moment(row, "created_at")
    return Recording(IMPORTED_BUCKET, f"{job_id}/{fits}", job_id, 0, at)


def _state(row: OldRow) -> CallState:
    match str(row["status"]).upper():
        case "COMPLETED":
            return CallState.COMPLETED
        case "FAILED" | "PENDING" | "PROCESSING":
            return CallState.FAILED
        case _:
            raise _Unreadable("its status is unknown")


def _key(path: str, bucket: str) -> str:
    """Return the key of a path in the old system, which may begin with the bucket's name."""
    name = bucket.removeprefix("s3://").partition("/")[0]
    return path.lstrip("/").removeprefix(f"{name}/")


def _text(row: OldRow, column: str) -> str:
    text = str(row.get(column) or "")
    if not is_storable(text):
        raise _Unreadable(f"its {column} contains characters that are not text")
    return text


def _number(row: OldRow, column: str) -> float:
    """Return a number, which the old system stored as text; 0 if there is none."""
    value = row.get(column)
    if value is None or value == "":
        return 0.0
    try:
        number = float(value)
    except ValueError:
        raise _Unreadable(f"its {column} is not a number") from None
    if not 0 <= number < 1e9:
        raise _Unreadable(f"its {column} is out of range")
    return number


def _moment(row: OldRow, *columns: str, default: datetime | None = None) -> datetime:
    """Return the first of these times that is set; naive ones are UTC."""
    text = next((row[column] for column in columns if row.get(column)), None)
    if text is None:
        if default is not None:
            return default
        raise _Unreadable(f"its {columns[0]} is not set")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise _Unreadable(f"its {columns[0]} is not a time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _fingerprint(job: OldJob, documents: dict[Channel, bytes], masked: str) -> str:
    """Return a hash of everything that the call is made of, and of the kinds that are masked."""
    hashed = hashlib.sha256(_document(job.row) + masked.encode())
    for row in job.results:
        hashed.update(_document(row))
    for channel, content in documents.items():
        hashed.update(f"{channel} {hashlib.sha256(content).hexdigest()}".encode())
    return hashed.hexdigest()[:16]


def _document(row: dict[str, Any]) -> bytes:
    return json.dumps(row, default=str, sort_keys=True).encode()
