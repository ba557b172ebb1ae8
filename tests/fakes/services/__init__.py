"""Fake of the services of CONTRACT.md and of an OpenAI-compatible server, with planned faults.

    with FaultServer() as services:
        services.plan("transcription", STATUS_503, times=2)
        ...                                   # services.url("transcription"), services.url("auth")
        assert services.attempts("transcription") == 3

It listens on real sockets. Services: auth, split, channel (the files that split refers to),
transcription, sentiment; speech and chat of the OpenAI-compatible server; elsewhere, which must get
no requests. The faults are in `faults` (statuses, connections, slowness), `bodies` (200 with an
invalid body) and `shapes` (JSON that doesn't match the contract). `python -m tests.fakes.services
--help` runs the server alone.
"""

from tests.fakes.services.faults import for_competitor, for_file, for_path
from tests.fakes.services.script import Script, scripted_segments
from tests.fakes.services.server import FaultServer

__all__ = ["FaultServer", "Script", "for_competitor", "for_file", "for_path", "scripted_segments"]
