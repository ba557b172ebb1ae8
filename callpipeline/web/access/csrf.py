"""CSRF protection: tokens of forms."""

from dataclasses import dataclass, field

from callpipeline.http_server.security import Signer

STALE_FORM = "This page has expired. Reload it and try again."

PURPOSE = "form"
TOKEN_LIFETIME_S = 12 * 3600.0
FIELD = "csrf_token"
HEADER = "x-csrf-token"


@dataclass(frozen=True, slots=True)
class CsrfBinding:
    """Subject of tokens. `key`, a secret of the visitor, replaces the server's key."""

    subject: str = field(repr=False)
    key: bytes | None = field(default=None, repr=False)


class CsrfTokens:
    """Create and verify the tokens of forms. Stateless."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def create(self, binding: CsrfBinding) -> str:
        """Return a token for one visitor's forms that is valid for half a day."""
        return self._signer_for(binding).sign(PURPOSE, binding.subject, TOKEN_LIFETIME_S)

    def verify(self, binding: CsrfBinding, token: str) -> bool:
        """Check that the token was created for this visitor and hasn't expired."""
        signed = self._signer_for(binding).verify(PURPOSE, token)
        return signed is not None and not signed.is_expired and signed.text == binding.subject

    def _signer_for(self, binding: CsrfBinding) -> Signer:
        return Signer(binding.key) if binding.key else self._signer
