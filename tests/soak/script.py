"""What a scripted recording says: a line of text that tells the engines how to behave."""

from dataclasses import dataclass, fields

from callpipeline.errors import UnsupportedAudio


@dataclass(frozen=True, slots=True)
class Script:
    """A recording's content, as `soak number=123 mentions=2 wait_s=0.5`.

    The transcriber waits `wait_s` seconds for each channel, fails for now with the probability
    `flaky`, and kills its process each time where the call is `poison`. The customer names
    `mentions` competitors.
    """

    number: int
    mentions: int = 1
    wait_s: float = 0.0
    flaky: float = 0.0
    poison: int = 0

    @property
    def name(self) -> str:
        """The file's name. It tells how many mentions a call must have, to who counts them."""
        return f"soak-{self.number:06}-m{self.mentions}.wav"

    @property
    def text(self) -> str:
        return "soak " + " ".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))


def read_script(text: str) -> Script:
    """The script that a recording, or a channel made of it, holds. Raises UnsupportedAudio."""
    known = {field.name: field.type for field in fields(Script)}
    words = (word.partition("=") for word in text.split())
    told = {name: value for name, _, value in words if name in known}
    if not text.startswith("soak ") or "number" not in told:
        raise UnsupportedAudio("The file is no scripted recording.")
    return Script(**{name: known[name](value) for name, value in told.items()})  # pyright: ignore
