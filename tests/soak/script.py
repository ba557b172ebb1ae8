"""Scripted recordings: a line of text that says how the engines behave."""

from dataclasses import dataclass, fields

from callpipeline.errors import UnsupportedAudio


@dataclass(frozen=True, slots=True)
class Script:
    """Content of a recording, written as `soak number=123 mentions=2 wait_s=0.5`.

    The transcriber waits `wait_s` seconds per channel, or until the wait is ended, fails
    temporarily with the probability `flaky`, and kills its process if the call is `poison`. The
    customer names `mentions` competitors.
    """

    number: int
    mentions: int = 1
    wait_s: float = 0.0
    flaky: float = 0.0
    poison: int = 0

    @property
    def name(self) -> str:
        """Return the file name, which contains the expected number of mentions."""
        return f"soak-{self.number:06}-m{self.mentions}.wav"

    @property
    def text(self) -> str:
        return "soak " + " ".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))


def read_script(text: str) -> Script:
    """Parse the script of a recording or of one of its channels. Raises UnsupportedAudio."""
    types = {field.name: field.type for field in fields(Script)}
    words = (word.partition("=") for word in text.split())
    values = {name: value for name, _, value in words if name in types}
    if not text.startswith("soak ") or "number" not in values:
        raise UnsupportedAudio("The file is not a scripted recording.")
    return Script(**{name: types[name](value) for name, value in values.items()})  # pyright: ignore
