"""The lists of patterns that decide a sentiment before the judge is asked, in one file."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from callpipeline.domain.spelling import normalise
from callpipeline.errors import SettingsInvalid


class Kind(StrEnum):
    """What a segment is that holds a pattern of the list."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


Lists = Mapping[Kind, tuple[str, ...]]


class Patterns:
    """Reads the file at each use and replaces it whole, so servers on one folder may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lists()

    def lists(self) -> Lists:
        """Both lists. Raises SettingsInvalid where the file is damaged."""
        try:
            document = json.loads(self._path.read_bytes())
            return {kind: tuple(map(_text, document[kind])) for kind in Kind}
        except FileNotFoundError:
            return dict.fromkeys(Kind, ())
        except (ValueError, KeyError, TypeError):
            raise SettingsInvalid(
                f"{self._path} is no list of patterns: mend it, or delete it."
            ) from None

    @contextmanager
    def changing(self, kind: Kind) -> Iterator[list[str]]:
        """A list to be changed; it is stored at the end, and nobody else changes it meanwhile."""
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lists = self.lists()
            patterns = list(lists[kind])
            yield patterns
            self._store({**lists, kind: tuple(patterns)})

    def _store(self, lists: Lists) -> None:
        partial = self._path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(lists, file, ensure_ascii=False, indent=2)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)


def first_held(patterns: tuple[str, ...], text: str) -> str | None:
    """The first pattern that stands in the text in whole words; case and punctuation aside."""
    words = f" {normalise(text)} "
    return next((each for each in patterns if _form(each) in words), None)


@lru_cache(maxsize=4096)
def _form(pattern: str) -> str:
    return f" {normalise(pattern)} "


def _text(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise TypeError
    return pattern
