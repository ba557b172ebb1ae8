"""GraphQL requests over HTTP: what they change, and whether that succeeded."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
)

MAX_TOKENS = 20_000
MAX_REPLY_BYTES = 1_000_000
"""Longer responses are not read: their entry has the HTTP status alone."""
UNREADABLE = "unreadable query"
_MALFORMED = (ValueError, KeyError, TypeError, RecursionError, GraphQLError)
_FAILURE = re.compile(
    r"[A-Za-z]{0,60}(?:Error|Failure|Invalid|Conflict|NotFound|NotSupported)", re.ASCII
)
"""Types of results that say that something was not done. Other texts of a response may quote."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change that a request asks for; its result is at `key` of the response's data."""

    name: str
    key: str | None = None


def only_reads(body: bytes) -> bool:
    """Return whether every operation of a query is one that reads; False if it is malformed."""
    try:
        definitions = parse(json.loads(body)["query"], max_tokens=MAX_TOKENS).definitions
    except _MALFORMED:
        return False
    operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
    return all(each.operation is OperationType.QUERY for each in operations)


def read_mutations(body: bytes) -> tuple[list[Mutation], str]:
    """Return the mutations of a request, and the request as text without escapes."""
    text = body.decode("utf-8", "replace")
    try:
        sent = json.loads(body)
        text = json.dumps(sent, ensure_ascii=False)
        if "mutation" not in text:
            return [], text
        return list(_mutations(parse(sent["query"], max_tokens=MAX_TOKENS))), text
    except _MALFORMED:
        return [Mutation(UNREADABLE)], text


def _mutations(document: DocumentNode) -> Iterator[Mutation]:
    """Yield the mutations of a document, also those in its fragments."""
    fragments = {
        each.name.value: each.selection_set
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }

    def fields(selected: SelectionSetNode) -> Iterator[Mutation]:
        for each in selected.selections:
            if isinstance(each, FieldNode):
                yield Mutation(each.name.value, (each.alias or each.name).value)
            elif isinstance(each, FragmentSpreadNode):
                # Taken out: a fragment that contains itself would never end.
                if (inner := fragments.pop(each.name.value, None)) is not None:
                    yield from fields(inner)
            elif isinstance(each, InlineFragmentNode):
                yield from fields(each.selection_set)

    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode) and each.operation is OperationType.MUTATION:
            yield from fields(each.selection_set)


class Response:
    """Collects a response, to say what became of each mutation."""

    def __init__(self) -> None:
        self.status = 0
        self._body: bytes | None = b""

    def add(self, chunk: bytes) -> None:
        if self._body is not None:
            whole = self._body + chunk
            self._body = whole if len(whole) <= MAX_REPLY_BYTES else None

    def outcome(self, mutation: Mutation) -> str:
        """Return "failed" with a reason, "not run", "unknown", or "" after success."""
        if not self.status:
            return "unknown"
        data = self._data()
        if data is None or mutation.key is None:
            return f"failed: HTTP {self.status}" if self.status >= 400 else ""
        if mutation.key not in data:
            return "not run"
        result = data[mutation.key]
        if result is None:
            return "failed"
        if failure := _failure(result):
            return f"failed: {failure}"
        inner = next(filter(None, map(_failure, _results_in(result))), None)
        return f"partly failed: {inner}" if inner else ""

    def _data(self) -> dict[str, Any] | None:
        try:
            data = json.loads(self._body or b"")["data"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return cast("dict[str, Any]", data) if isinstance(data, dict) else None


def _failure(result: Any) -> str | None:
    kind = result.get("__typename") if isinstance(result, dict) else None
    return kind if isinstance(kind, str) and _FAILURE.fullmatch(kind) else None


def _results_in(result: Any) -> Iterator[Any]:
    """Yield the results of several things in one, such as those of terminated runs."""
    values = cast("dict[str, Any]", result).values() if isinstance(result, dict) else ()
    for value in values:
        if isinstance(value, list):
            yield from cast("list[Any]", value)
        else:
            yield value
