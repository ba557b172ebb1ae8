"""The services of CONTRACT.md and an OpenAI-compatible server on real sockets, which fail as told.

    with FaultServer() as services:
        services.plan("transcription", STATUS_503, times=2)
        ...                                   # services.url("transcription"), services.url("auth")
        assert services.attempts("transcription") == 3

Services: auth, split, channel (the files that split points to), transcription, sentiment; speech
and chat of the OpenAI-compatible server; elsewhere, where nothing may arrive. The faults are in
`faults` (statuses, connections, slowness), `bodies` (200 with another body) and `shapes` (JSON of
the wrong shape). `python -m tests.fakes.services --help` runs the server by itself.
"""

from tests.fakes.services.plans import about, at_path, of_file
from tests.fakes.services.script import Script, said
from tests.fakes.services.server import FaultServer

__all__ = ["FaultServer", "Script", "about", "at_path", "of_file", "said"]
