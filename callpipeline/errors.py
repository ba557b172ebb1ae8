"""Errors of callpipeline, divided by whether a retry can help.

CallpipelineError
├── PermanentError      retrying with the same input can't succeed
│   ├── UnsupportedAudio      not audio, or not in a format that can be decoded
│   ├── EmptyRecording        no bytes, or no samples
│   ├── DuplicateRecording    same bytes as an earlier call, and the source refuses duplicates
│   ├── CatalogInvalid        the competitor list can't be read
│   ├── CatalogConflict       another version of the list is in force than expected
│   ├── UnknownCatalog        no such version of the competitor list
│   ├── TranscriptInvalid     a supplied transcript can't be read
│   │   └── TranscriptIgnored     and the recording is transcribed instead
│   ├── BackupInvalid         a backup is incomplete or damaged
│   ├── MetadataInvalid       a file with metadata of a call can't be read
│   ├── LabelsInvalid         a file of labels for an evaluation can't be read
│   ├── EngineRefused         a service rejected its input or broke its contract
│   ├── MissingObject         an object that a row refers to isn't in the object store
│   │   └── ObjectReplaced        it was replaced by another one of the same name
│   ├── PathRefused           a path outside the permitted folder, or an invalid one
│   ├── UnknownCall           no such call in the ledger
│   ├── UnknownMention        no such mention in the call
│   ├── UnknownVoices         the call's voices were not separated
│   ├── ReviewOutdated        another person has reviewed the mention since
│   ├── CorrectionOutdated    another person has corrected the same since
│   ├── UnknownSegment        no such segment of a transcript
│   ├── AlertRuleOutdated     another person has changed or deleted the alert rule since
│   ├── UnknownView           no such saved view, or it is private
│   ├── ViewRefused           a view of this name exists, or belongs to another person
│   ├── UnknownNotification   no such notification in the outbox
│   ├── UnknownKey            no such API key
│   ├── KeyRefused            an API key can't have this name, scope or end
│   ├── UnknownUser           no such user, or one of the settings
│   ├── UserRefused           a user can't be added or changed in this way
│   │   └── LastAdmin         no admin would be left
│   ├── CursorInvalid         a page cursor is malformed or belongs to another list
│   ├── SettingsInvalid       a setting is missing, malformed or contradictory
│   ├── PoisonCall            every run that worked on the call died
│   ├── ReceiverGone          a receiver no longer accepts notifications
│   ├── AnnouncementInvalid   an announcement of a recording is malformed
│   │   └── AddressInvalid        recordings can't be fetched from its URL
│   ├── DownloadRefused       a host refuses the recording, or the egress policy forbids the host
│   └── UnexpectedError       a bug in callpipeline
├── TransientError      a retry may succeed
│   ├── EngineUnavailable     an engine crashed, timed out or is overloaded
│   │   └── ServiceUnavailable    a service is down: its calls wait without using up retries
│   ├── StoreUnavailable      the object store didn't respond
│   ├── RecordingChanged      a recording is still being written
│   ├── DatabaseUnavailable   Postgres didn't respond
│   ├── DeliveryRefused       a receiver didn't accept a notification
│   ├── DownloadFailed        the download of a recording was incomplete
│   ├── ModelUnavailable      a recogniser's model couldn't be fetched
│   └── MachineExhausted      out of disk space, memory or file descriptors
├── ClaimLost           another run has claimed the call; nothing was written
└── SameRecording       the call ended as a duplicate of another one
"""

from typing import Self


class CallpipelineError(Exception):
    """Base class of deliberate errors; the message is a sentence written for users."""


class PermanentError(CallpipelineError):
    """Retrying with the same input cannot succeed."""


class UnsupportedAudio(PermanentError):
    """The recording is not audio, or not in a format that can be decoded."""


class EmptyRecording(PermanentError):
    """The recording has no bytes or no samples."""


class DuplicateRecording(PermanentError):
    """The recording repeats an earlier call, and its source refuses duplicates."""


class CatalogInvalid(PermanentError):
    """The competitor list cannot be read."""


class CatalogConflict(PermanentError):
    """Another version of the competitor list is in force than expected."""


class UnknownCatalog(PermanentError):
    """There is no such version of the competitor list."""


class TranscriptInvalid(PermanentError):
    """A transcript supplied beside a recording cannot be read."""


class BackupInvalid(PermanentError):
    """A backup is incomplete or damaged."""


class TranscriptIgnored(TranscriptInvalid):
    """A supplied transcript cannot be read, and the source wants the recording transcribed."""


class MetadataInvalid(PermanentError):
    """A file with metadata beside a recording cannot be read."""


class LabelsInvalid(PermanentError):
    """A file of labels for an evaluation cannot be read."""


class EngineRefused(PermanentError):
    """A service rejected its input or broke its contract.

    `status` is the HTTP status, if that was the rejection.
    """

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class MissingObject(PermanentError):
    """An expected object is not in the object store."""


class ObjectReplaced(MissingObject):
    """An object was replaced by another one of the same name."""


class PathRefused(PermanentError):
    """A path leads outside the permitted folder, or is invalid for an object store."""


class UnknownCall(PermanentError):
    """The ledger has no such call."""


class UnknownMention(PermanentError):
    """The call has no such mention."""


class UnknownVoices(PermanentError):
    """The transcript of the call has no voices to give roles to."""


class ReviewOutdated(PermanentError):
    """Another person has reviewed the mention since."""


class CorrectionOutdated(PermanentError):
    """Another person has corrected the same since."""


class UnknownSegment(PermanentError):
    """The transcript has no such segment."""


class AlertRuleOutdated(PermanentError):
    """Another person has changed or deleted the alert rule since."""


class UnknownView(PermanentError):
    """There is no such saved view, or another person's that is not shared."""


class ViewRefused(PermanentError):
    """A view can't be saved or changed: its name is taken, or it belongs to another person."""


class UnknownNotification(PermanentError):
    """The outbox has no such notification."""


class UnknownKey(PermanentError):
    """No API key matches, or several do."""


class KeyRefused(PermanentError):
    """An API key can't have this name, scope or end."""


class UnknownUser(PermanentError):
    """There is no such user, or only in the settings."""


class UserRefused(PermanentError):
    """A user can't be added or changed in this way."""


class LastAdmin(UserRefused):
    """No admin would be left."""


class CursorInvalid(PermanentError):
    """A page cursor is malformed or belongs to another list."""


class SettingsInvalid(PermanentError):
    """A setting is missing, malformed or contradicts another."""


class PoisonCall(PermanentError):
    """Every run that worked on the call died."""


class ReceiverGone(PermanentError):
    """A receiver no longer accepts notifications; `code` is its short answer."""

    def __init__(self, code: str, answer: str) -> None:
        super().__init__(answer)
        self.code = code


class AnnouncementInvalid(PermanentError):
    """An announcement of a recording is malformed; its sender has to correct it."""


class AddressInvalid(AnnouncementInvalid):
    """A URL is not HTTP, or recordings may not be fetched from it. Messages never quote it."""


class DownloadRefused(PermanentError):
    """A host refuses an announced recording, or the egress policy forbids the host."""


class UnexpectedError(PermanentError):
    """A bug in callpipeline rather than a fault of the recording or an engine."""


class TransientError(CallpipelineError):
    """A later retry may succeed."""


class EngineUnavailable(TransientError):
    """An engine crashed, timed out or is overloaded."""


class ServiceUnavailable(EngineUnavailable):
    """A service is down: the call waits `retry_after_s` seconds without using up a retry.

    `service` is the service's name in the table of outages, which all runs share: only one of the
    calls that wait for it probes whether it is back.
    """

    def __init__(self, reason: str, retry_after_s: float, service: str | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.service = service

    def __reduce__(self) -> tuple[type[Self], tuple[str, float, str | None]]:
        return type(self), (str(self), self.retry_after_s, self.service)


class StoreUnavailable(TransientError):
    """The object store did not respond."""


class DatabaseUnavailable(TransientError):
    """Postgres did not respond."""


class CallsBusy(TransientError):
    """Calls are read or written all the time, so that all of them can't be changed at once."""


class DeliveryRefused(TransientError):
    """A receiver did not accept a notification; `code` is its short answer, safe to show.

    `retry_after_s` is the delay that it requested, in seconds.
    """

    def __init__(self, code: str, answer: str, retry_after_s: float | None = None) -> None:
        super().__init__(answer)
        self.code = code
        self.retry_after_s = retry_after_s


class RecordingChanged(TransientError):
    """A recording changed after it was registered, and the new version isn't registered yet."""


class DownloadFailed(TransientError):
    """The download of an announced recording was incomplete.

    `retry_after_s` is the delay that the host requested, in seconds.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class ModelUnavailable(TransientError):
    """A recogniser's model could not be fetched."""


class MachineExhausted(TransientError):
    """This machine is out of disk space, memory or file descriptors."""


class ClaimLost(CallpipelineError):
    """Another run has claimed the call, so this run's write was rejected."""


class SameRecording(CallpipelineError):
    """The recording is that of call `original_call_id`, so this call ended as DUPLICATE."""

    def __init__(self, original_call_id: str) -> None:
        super().__init__(f"This recording is identical to that of call {original_call_id}.")
        self.original_call_id = original_call_id
