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
from callpipeline.domain.calls.side_files import MetadataTable, decode_text, read_records
from callpipeline.domain.calls.source_audio import AUDIO_SUFFIXES
from callpipeline.domain.calls.sources import CallAttributes, Source, UnreadableTranscript
from callpipeline.domain.transcripts import Transcript
from callpipeline.errors import MetadataInvalid, TranscriptIgnored, TranscriptInvalid
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

        Raises TranscriptInvalid if no file can be read, TranscriptIgnored if the source wants
        the recording transcribed then.
        """
        bucket, key = call.recording.bucket, call.recording.key
        rules = self.rules.get(bucket, TranscriptRules())
        refused: TranscriptInvalid | None = None
        for each in transcript_keys(key, self.recordings.beside(bucket, stem_of(key))):
            content = self.recordings.read(bucket, each)
            try:
                read = self.parse(each, content, call.agent_channel, rules.speakers)
            except TranscriptInvalid as error:
                reason = str(error).replace(PurePosixPath(each).name, _anonymous(each, key))
                refused = refused or TranscriptInvalid(reason)
                continue
            if read is not None:
                return read
        if refused and rules.unreadable is UnreadableTranscript.TRANSCRIBE:
            raise TranscriptIgnored(str(refused)) from refused
        if refused:
            raise refused
        return None


class CallDescriptions(Protocol):
    """Stores what is known about a claimed call. Raises ClaimLost."""

    def describe(self, call: Call, run_id: str, attributes: CallAttributes) -> None: ...


@dataclass(frozen=True, slots=True)
class SideMetadata:
    """Reads the metadata of calls from files beside their recordings; sources are by bucket."""

    recordings: RecordingSource
    sources: Mapping[str, Source]
    descriptions: CallDescriptions

    def describe(self, call: Call, run_id: str) -> tuple[Call, tuple[QualityFlag, ...]]:
        """Store what a side file says about a call that a run holds.

        Returns the call with its agent's channel, and a flag if the file can't be read. Raises
        ClaimLost.
        """
        try:
            found = self.find(call)
        except MetadataInvalid as error:
            return call, (QualityFlag(Flag.UNREADABLE_METADATA, str(error)),)
        if found is None:
            return call, ()
        self.descriptions.describe(call, run_id, found)
        return replace(call, agent_channel=found.agent_channel or call.agent_channel), ()

    def find(self, call: Call) -> CallAttributes | None:
        """Return what a side file says about a call; None without a file or a record of the call.

        Raises MetadataInvalid if the file can't be read.
        """
        bucket, key = call.recording.bucket, call.recording.key
        source = self.sources.get(bucket)
        if source is None or source.metadata is None:
            return None
        for each in self._existing(bucket, key, source.metadata):
            text, _ = decode_text(self.recordings.read(bucket, each))
            try:
                records = read_records(each, text)
            except ValueError as error:
                name = source.metadata.file or _anonymous(each, key)
                raise MetadataInvalid(f"{name} cannot be read: {error}.") from None
            if fields := source.metadata.find(records, key):
                return source.attributes_of(fields)
        return None

    def _existing(self, bucket: str, key: str, table: MetadataTable) -> Iterator[str]:
        wanted = table.files(key)
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
    is_named = "{stem}" in table.file or "{name}" in table.file
    return table.files(key) if is_named else []


def _rest_of(key: str, stem: str) -> re.Match[str] | None:
    """Match what follows the stem, unless the file is another recording's."""
    if not key.casefold().startswith(stem.casefold()):
        return None
    return _REST.fullmatch(key[len(stem) :].lower())
