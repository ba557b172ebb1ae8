"""Tokens of forms: only a page that we made for this visitor can have one."""

from dataclasses import dataclass, field

from callpipeline.web.access.signing import Signer

PURPOSE = "form"
FOR_S = 12 * 3600.0
FIELD = "csrf_token"
HEADER = "x-csrf-token"


@dataclass(frozen=True, slots=True)
class Binding:
    """Whose form it is. `key` signs in place of the server's where the visitor brings a secret."""

    whose: str = field(repr=False)
    key: bytes | None = field(default=None, repr=False)


class FormTokens:
    """Makes tokens and tells whether one is right; nothing of them is kept."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def made(self, binding: Binding) -> str:
        """For one visitor's forms, for half a day."""
        return self._for(binding).sign(PURPOSE, binding.whose, FOR_S)

    def accepts(self, binding: Binding, token: str) -> bool:
        """Whether the token was made for this visitor, and holds still."""
        read = self._for(binding).read(PURPOSE, token)
        return read is not None and not read.is_expired and read.text == binding.whose

    def _for(self, binding: Binding) -> Signer:
        return Signer(binding.key) if binding.key else self._signer
