"""Files beside a recording: transcripts that other tools made, and metadata of the call.

Tools name transcripts after the recording: `call.json`, `call.wav.vtt`, `CALL.transcript.vtt`. The
first that can be read is used instead of a recogniser.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol

from callpipeline.domain.audio import Flag, QualityFlag, Speaker
from callpipeline.domain.calls.call import Call
from callpipeline.domain.calls.side_files import (
    FlatRecord,
    MetadataTable,
    decode_text,
    read_records,
)
from callpipeline.domain.calls.source_audio import AUDIO_SUFFIXES
from callpipeline.domain.calls.sources import CallAttributes, Source, UnreadableTranscript
from callpipeline.domain.transcripts import Transcript
from callpipeline.errors import (
    MetadataInvalid,
    MissingObject,
    PathRefused,
    TranscriptIgnored,
    TranscriptInvalid,
)
from callpipeline.storage.objects import keys
from callpipeline.storage.ports.calls import RecordingSource

_SAYS_TRANSCRIPT = r"transcript(?:ion|s)?|captions?|subtitles?|asr|cc|speakers?|diari[sz]ed"
_AUDIO = "|".join(re.escape(suffix) for suffix in sorted(AUDIO_SUFFIXES))
_REST = re.compile(
    rf"(?:{_AUDIO})?(?P<kind>(?:[._ -](?:audio[._ -]?)?(?:{_SAYS_TRANSCRIPT}))*)"
    r"(?:[._-][a-z]{2,3}(?:-[a-z]{2,4})?)?(?P<suffix>\.json|\.srt|\.vtt)"
)
"""Follows the name of the recording in the name of its transcript, in lower case."""
_PREFERENCE = (".json", ".srt", ".vtt")


@dataclass(frozen=True, slots=True)
class TranscriptRules:
    """The rules of a source for supplied transcripts: roles by label, and unreadable files."""

    speakers: Mapping[str, Speaker] = field(default_factory=dict[str, Speaker])
    unreadable: UnreadableTranscript = UnreadableTranscript.FAIL


TranscriptParser = Callable[[str, bytes, str, Mapping[str, Speaker]], tuple[Transcript, ...] | None]
"""Parses (file name, content, agent channel, roles by label); None for files about other things."""


@dataclass(frozen=True, slots=True)
class SidecarTranscripts:
    """Reads the transcripts supplied beside recordings; `rules` are by bucket."""

    recordings: RecordingSource
    parse: TranscriptParser
    rules: Mapping[str, TranscriptRules] = field(default_factory=dict[str, TranscriptRules])

    def find(self, call: Call) -> tuple[Transcript, ...] | None:
        """Return the supplied transcripts, None without any.

        Raises TranscriptInvalid if no file can be read, TranscriptIgnored to have the recording
        transcribed: the source wants that, or the file has only a text without times.
        """
        bucket, key = call.recording.bucket, call.recording.key
        rules = self.rules.get(bucket, TranscriptRules())
        refused: TranscriptInvalid | None = None
        ignored: TranscriptIgnored | None = None
        for each in transcript_keys(key, self.recordings.beside(bucket, stem_of(key))):
            content = self.recordings.read(bucket, each)
            try:
                read = self.parse(each, content, call.agent_channel, rules.speakers)
            except TranscriptInvalid as error:
                reason = str(error).replace(PurePosixPath(each).name, _anonymous(each, key))
                if isinstance(error, TranscriptIgnored):
                    ignored = ignored or TranscriptIgnored(reason)
                else:
                    refused = refused or TranscriptInvalid(reason)
                continue
            if read is not None:
                return read
        if refused and rules.unreadable is UnreadableTranscript.TRANSCRIBE:
            raise TranscriptIgnored(str(refused)) from refused
        if found := refused or ignored:
            raise found
        return None


SideFiles = dict[tuple[str, str], list[FlatRecord]]
"""Records of files about many calls, by bucket and key."""


class CallDescriptions(Protocol):
    """Stores what is known about a claimed call. Raises ClaimLost."""

    def describe(self, call: Call, run_id: str, attributes: CallAttributes) -> None: ...

    def await_file(self, call: Call, run_id: str) -> None:
        """Note that the side file is not there yet, or can't be read."""
        ...


@dataclass(frozen=True, slots=True)
class SideMetadata:
    """Reads the metadata of calls from files beside their recordings; sources are by bucket."""

    recordings: RecordingSource
    sources: Mapping[str, Source]
    descriptions: CallDescriptions

    def describe(self, call: Call, run_id: str) -> tuple[Call, tuple[QualityFlag, ...]]:
        """Store what a side file says about a call that a run holds.

        Returns the call with its agent's channel, and a flag if the file can't be read. A file that
        arrives later is read later. Raises ClaimLost.
        """
        unread: tuple[QualityFlag, ...] = ()
        found = None
        try:
            found = self.find(call)
        except MetadataInvalid as error:
            unread = (QualityFlag(Flag.UNREADABLE_METADATA, str(error)),)
        if found is None:
            if self._table(call) is not None:
                self.descriptions.await_file(call, run_id)
            return call, unread
        self.descriptions.describe(call, run_id, found)
        return replace(call, agent_channel=found.agent_channel or call.agent_channel), ()

    def find(self, call: Call, read: "SideFiles | None" = None) -> CallAttributes | None:
        """Return what a side file says about a call; None without a file or a record of the call.

        Files in `read` are not read again, and those for many calls are added. Raises
        MetadataInvalid if the file can't be read.
        """
        bucket, key = call.recording.bucket, call.recording.key
        source, table = self.sources.get(bucket), self._table(call)
        if source is None or table is None:
            return None
        known = {} if read is None else read
        for each in self._existing(bucket, key, table):
            records = known.get((bucket, each)) or self._read(bucket, each, table, key)
            if table.is_shared:
                known[bucket, each] = records
            if fields := table.find(records, key):
                return source.attributes_of(fields)
        return None

    def _table(self, call: Call) -> MetadataTable | None:
        source = self.sources.get(call.recording.bucket)
        return source.metadata if source else None

    def _read(self, bucket: str, each: str, table: MetadataTable, key: str) -> list[FlatRecord]:
        name = table.file or _anonymous(each, key)
        try:
            text, _ = decode_text(self.recordings.read(bucket, each))
            return read_records(each, text)
        except ValueError as error:
            raise MetadataInvalid(f"{name} cannot be read: {error}.") from None
        except (MissingObject, PathRefused):
            reason = "it was removed, or is a link that leads out of the source"
            raise MetadataInvalid(f"{name} cannot be read: {reason}.") from None

    def _existing(self, bucket: str, key: str, table: MetadataTable) -> Iterator[str]:
        wanted = metadata_files(table, key)
        if table.file is not None:
            yield from (each for each in wanted if self.recordings.exists(bucket, each))
            return
        beside = {each.casefold(): each for each in self.recordings.beside(bucket, stem_of(key))}
        yield from (beside[each.casefold()] for each in wanted if each.casefold() in beside)


def stem_of(key: str) -> str:
    """Return a key without the suffix of its file name."""
    return key.removesuffix(PurePosixPath(key).suffix)


def transcript_keys(key: str, beside: Iterable[str]) -> list[str]:
    """Return those of the keys beside a recording that are named like its transcript.

    In order of preference: files that are called a transcript, then JSON, which may have words and
    speakers, then captions.
    """
    stem = stem_of(key)

    def rank(other: str) -> tuple[bool, int, int, str]:
        match = _rest_of(other, stem)
        suffix = match["suffix"] if match else ""
        return not (match and match["kind"]), _PREFERENCE.index(suffix), len(other), other

    others = _other_stems(key, beside)
    named = [
        each
        for each in beside
        if each != key and _rest_of(each, stem) and not each.startswith(others)
    ]
    return sorted(named, key=rank)


def _other_stems(key: str, beside: Iterable[str]) -> tuple[str, ...]:
    """Return the stems of other recordings that the names of their files begin with.

    `x-in.json` belongs to `x-in.wav`, if that is there, and not to `x.wav`; so does `X.json` to
    `X.wav` beside `x.wav`.
    """
    stem = stem_of(key)
    stems = {
        stem_of(each)
        for each in beside
        if each != key and PurePosixPath(each).suffix.lower() in AUDIO_SUFFIXES
    }
    own = stem.casefold()
    return tuple(each for each in stems if each != stem and each.casefold().startswith(own))


def side_files(key: str, beside: Sequence[str]) -> list[str]:
    """Return those of the keys beside a recording that belong to it alone."""
    stem = stem_of(key)
    names = [f"{stem}{suffix}" for suffix in (".xml", ".csv")]
    names += [f"{key}{suffix}" for suffix in (".xml", ".csv")]
    folded = {name.casefold() for name in names}
    return [*transcript_keys(key, beside), *(each for each in beside if each.casefold() in folded)]


def _anonymous(other: str, key: str) -> str:
    """Return the name of a file beside a recording without what both have in common.

    Names may say who called, and reasons are shown in Dagster: `*.vtt` is beside the recording.
    """
    return f"*{other[len(stem_of(key)) :]}"


def named_metadata_file(source: Source | None, key: str) -> list[str]:
    """Return the key of the metadata file that the source names after a recording, if it does.

    A file about all recordings of a folder belongs to none of them.
    """
    table = source.metadata if source else None
    if table is None or table.file is None:
        return []
    return [] if table.is_shared else table.files(key)


def metadata_files(table: MetadataTable, key: str) -> list[str]:
    """Return the keys of the metadata files of a recording, in order of preference.

    Uploads share all folders but their own: there, the file has the name of the recording, whatever
    the source calls it.
    """
    named = table.files(key)
    if table.file is None or not keys.is_upload(key):
        return named
    return [*replace(table, file=None).files(key), *named]


def _rest_of(key: str, stem: str) -> re.Match[str] | None:
    """Match what follows the stem, unless the file is another recording's."""
    if not key.casefold().startswith(stem.casefold()):
        return None
    return _REST.fullmatch(key[len(stem) :].lower())
