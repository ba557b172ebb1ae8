"""What a file in a form is called, as browsers write it there."""

import re

from callpipeline.domain.recording_name import clean

_ESCAPED = re.compile(r"%(22|0[0-9A-F]|1[0-9A-F])", re.IGNORECASE)


def of_form(sent: bytes) -> str:
    """The clean name: browsers write quotation marks and line breaks there as %22 and %0A."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), sent.decode(errors="replace"))
    return clean(text)
