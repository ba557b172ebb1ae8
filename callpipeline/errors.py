"""Every error of callpipeline, and whether another try can help.

CallpipelineError
├── PermanentError      another try cannot help
│   ├── UnsupportedAudio      not audio, or audio that no decoder here reads
│   ├── EmptyRecording        no bytes, or no samples in it
│   ├── DuplicateRecording    the same bytes as an earlier call, and its source refuses that
│   ├── CatalogInvalid        the competitor list cannot be read
│   ├── TranscriptInvalid     a supplied transcript cannot be read
│   ├── EngineRefused         a service does not take what it was sent, or answers otherwise
│   ├── MissingObject         what a row points to is not in the object store
│   ├── PathRefused           a path outside of what may be read or written there
│   ├── UnknownCall           no such call in the ledger
│   ├── UnknownMention        no such mention in the call
│   ├── ReviewOutdated        somebody else decided about the mention since
│   ├── UnknownNotification   no such notification in the outbox
│   ├── UnknownKey            no such key of the API
│   ├── CursorInvalid         a page is asked for after a place that is none
│   ├── SettingsInvalid       a setting is missing or contradicts another
│   ├── PoisonCall            the runs that worked on the call died, every time
│   ├── ReceiverGone          a receiver wants no notifications any more
│   ├── AnnouncementInvalid   what was announced cannot be taken
│   │   └── AddressInvalid        its address is none from which recordings are fetched
│   ├── DownloadRefused       a host does not hand out an announced recording, or may not be asked
│   └── UnexpectedError       a fault of callpipeline itself
├── TransientError      another try might
│   ├── EngineUnavailable     an engine crashed, timed out or refused for now
│   │   └── EngineAway            a service answers nobody: its calls wait and lose no try
│   ├── StoreUnavailable      the object store did not answer
│   ├── DatabaseUnavailable   Postgres did not answer
│   ├── DeliveryRefused       a receiver did not take a notification
│   ├── DownloadFailed        an announced recording did not arrive whole
│   ├── ModelUnavailable      a recogniser's model could not be fetched
│   └── MachineExhausted      no disk space, memory or open files are left here
├── ClaimLost           the call belongs to another run now; nothing was written
└── SameRecording       the call has ended as a duplicate of another one
"""

from typing import Self


class CallpipelineError(Exception):
    """Base of all errors raised on purpose; its text is a sentence for the person who reads it."""


class PermanentError(CallpipelineError):
    """Another try with the same input cannot succeed."""


class UnsupportedAudio(PermanentError):
    """The recording is not audio, or no decoder here reads it."""


class EmptyRecording(PermanentError):
    """The recording holds no bytes or no samples."""


class DuplicateRecording(PermanentError):
    """The recording is the same as that of an earlier call, and its source refuses duplicates."""


class CatalogInvalid(PermanentError):
    """The competitor list cannot be read."""


class TranscriptInvalid(PermanentError):
    """A transcript supplied beside a recording cannot be read."""


class EngineRefused(PermanentError):
    """A service does not take what it was sent, or does not answer as its contract says.

    `status` is that of HTTP where it is that which says so.
    """

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class MissingObject(PermanentError):
    """An object that should be in the store is not there."""


class PathRefused(PermanentError):
    """A path leads out of what may be read or written, or is none that a store can have."""


class UnknownCall(PermanentError):
    """The ledger has no such call."""


class UnknownMention(PermanentError):
    """The call has no such mention."""


class ReviewOutdated(PermanentError):
    """Somebody else decided about the mention since."""


class UnknownNotification(PermanentError):
    """The outbox has no such notification."""


class UnknownKey(PermanentError):
    """There is no such key of the API, or more than one is meant."""


class CursorInvalid(PermanentError):
    """What tells where a page begins was not made by callpipeline, or is for another list."""


class SettingsInvalid(PermanentError):
    """A setting is missing, malformed or contradicts another."""


class PoisonCall(PermanentError):
    """The runs that worked on the call died, every time."""


class ReceiverGone(PermanentError):
    """A receiver answered that it wants no notifications any more; `code` is how it did."""

    def __init__(self, code: str, answer: str) -> None:
        super().__init__(answer)
        self.code = code


class AnnouncementInvalid(PermanentError):
    """What was announced cannot be taken as it is; whoever announces it has to correct it."""


class AddressInvalid(AnnouncementInvalid):
    """An address is none of HTTP, or none from which recordings may be fetched; never quoted."""


class DownloadRefused(PermanentError):
    """A host does not hand out an announced recording, or it may not be fetched from there."""


class UnexpectedError(PermanentError):
    """A fault of callpipeline itself, not of the recording or an engine."""


class TransientError(CallpipelineError):
    """Another try, later, might succeed."""


class EngineUnavailable(TransientError):
    """An engine crashed, timed out or refused for now."""


class EngineAway(EngineUnavailable):
    """A service answers nobody, which is not the fault of a call: it waits for `again_s` seconds,
    and loses no try.

    `service` is its name in the table of services that are away, where all runs know of it: of the
    calls that wait for it one alone tries whether it is back.
    """

    def __init__(self, reason: str, again_s: float, service: str | None = None) -> None:
        super().__init__(reason)
        self.again_s = again_s
        self.service = service

    def __reduce__(self) -> tuple[type[Self], tuple[str, float, str | None]]:
        return type(self), (str(self), self.again_s, self.service)


class StoreUnavailable(TransientError):
    """The object store did not answer."""


class DatabaseUnavailable(TransientError):
    """Postgres did not answer."""


class DeliveryRefused(TransientError):
    """A receiver did not take a notification; `code` is its answer in a word, safe to show.

    `retry_after_s` is how long it wants to be left alone, in seconds.
    """

    def __init__(self, code: str, answer: str, retry_after_s: float | None = None) -> None:
        super().__init__(answer)
        self.code = code
        self.retry_after_s = retry_after_s


class DownloadFailed(TransientError):
    """An announced recording did not arrive whole; another try may do better.

    `retry_after_s` is how long its host wants to be left alone, in seconds.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class ModelUnavailable(TransientError):
    """A recogniser's model could not be fetched."""


class MachineExhausted(TransientError):
    """This machine has no disk space, memory or open files left."""


class ClaimLost(CallpipelineError):
    """The call belongs to another run now, so this run's write was refused."""


class SameRecording(CallpipelineError):
    """The recording is that of an earlier call, `first`, so this one has ended as DUPLICATE."""

    def __init__(self, first: str) -> None:
        super().__init__(f"The recording is the same, byte for byte, as that of call {first}.")
        self.first = first
