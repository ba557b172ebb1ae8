"""What a person can do about a call that failed, by the class of its error."""

from collections.abc import Mapping

from callpipeline import errors
from callpipeline.errors import CallpipelineError

ADVICE: Mapping[type[CallpipelineError], str] = {
    errors.UnsupportedAudio: (
        "Export it again from the telephone system, or convert it to WAV, MP3, M4A, FLAC or Opus, "
        "and upload that file."
    ),
    errors.EmptyRecording: (
        "Look at the file where it came from: if it can be heard there, upload it again; if not, "
        "nothing was recorded."
    ),
    errors.DuplicateRecording: (
        "Nothing is to be done: the call is there already. To have it twice, set `duplicates: "
        "process` for its source."
    ),
    errors.CatalogInvalid: (
        "Correct the list of competitors (`callpipeline doctor` says what is wrong with it), then "
        "try again."
    ),
    errors.TranscriptInvalid: (
        "Correct or remove the transcript that lies beside the recording, then try again."
    ),
    errors.EngineRefused: (
        "Ask whoever runs that service, or look at its settings with `callpipeline doctor`; then "
        "try again."
    ),
    errors.MissingObject: (
        "The file was moved or deleted after it came in: put it back, or upload it again."
    ),
    errors.SettingsInvalid: (
        "Correct the setting (`callpipeline doctor` checks them all), then try again."
    ),
    errors.PoisonCall: (
        "Something in this recording, or too little memory, ended the program that worked on it. "
        "Other calls are not affected. Try again once; if it fails again, keep the file and report "
        "it."
    ),
    errors.UnexpectedError: (
        "This is a fault of callpipeline. Try again once; if it fails again, report it with the "
        "log of its run in Dagster."
    ),
    errors.EngineAway: "Try again when the service answers: `callpipeline doctor` asks it.",
    errors.EngineUnavailable: (
        "The engine did not answer, several times. When it does (`callpipeline doctor`), try again."
    ),
    errors.StoreUnavailable: (
        "The object store did not answer, several times. When it does (`callpipeline doctor`), try "
        "again."
    ),
    errors.DatabaseUnavailable: "When Postgres answers again (`callpipeline doctor`), try again.",
    errors.ModelUnavailable: (
        "Fetch the recogniser's model with `callpipeline models pull`, then try again."
    ),
    errors.MachineExhausted: (
        "Make room on the machine that processes calls (disk space, memory), then try again."
    ),
}
OTHERWISE = "Try again; if it fails again, look at its run in Dagster."


def advice(error_class: str | None) -> str:
    """A sentence or two for the error that the ledger names."""
    known = {kind.__name__: said for kind, said in ADVICE.items()}
    return known.get(error_class or "", OTHERWISE)
