"""What will go wrong: a queue of faults for each service, taken one a request."""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.services.faults import Fault
from tests.fakes.services.records import Arrival

Where = Callable[[Arrival], bool]


@dataclass
class Planned:
    """One fault for the next `left` requests (None: for all) that `where` accepts."""

    fault: Fault
    left: int | None
    where: Where | None


class Plans:
    """Written by the test's thread, taken by the server's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: defaultdict[str, list[Planned]] = defaultdict(list)

    def add(self, service: str, planned: Planned) -> None:
        with self._lock:
            self._planned[service].append(planned)

    def clear(self, service: str) -> None:
        with self._lock:
            self._planned[service].clear()

    def left(self, service: str) -> int:
        """How many faults wait for their request; those for all requests are one each."""
        with self._lock:
            return sum(1 if p.left is None else p.left for p in self._planned[service])

    def take_at_head(self, arrival: Arrival) -> Fault | None:
        """The fault of a request of which only the head has come.

        A fault with `where` that strikes after the body is left to `take_after_body`, where the
        form can be looked at.
        """
        return self._take(arrival, lambda p: p.where is None or p.fault.after_bytes is not None)

    def take_after_body(self, arrival: Arrival) -> Fault | None:
        return self._take(arrival, lambda p: p.where is not None and p.fault.after_bytes is None)

    def _take(self, arrival: Arrival, due: Callable[[Planned], bool]) -> Fault | None:
        with self._lock:
            queue = self._planned[arrival.service]
            for planned in queue:
                if due(planned) and (planned.where is None or planned.where(arrival)):
                    if planned.left is not None:
                        planned.left -= 1
                        if not planned.left:
                            queue.remove(planned)
                    return planned.fault
        return None


def about(competitor: str) -> Where:
    """Requests whose form names the competitor in `context`."""
    return lambda arrival: arrival.form.get("context") == competitor


def of_file(name: str) -> Where:
    """Requests that upload a file of that name."""
    return lambda arrival: any(file.name == name for file in arrival.files)


def at_path(path: str) -> Where:
    return lambda arrival: arrival.path == path
