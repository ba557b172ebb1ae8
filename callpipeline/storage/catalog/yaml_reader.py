"""Reading of a competitor list in YAML from its nodes, which know their lines."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import cast

import yaml

from callpipeline.storage.catalog.entries import (
    FLAG_KEYS,
    GLUED_HASH,
    KEYS,
    LIST_KEYS,
    ListEntry,
    ListProblems,
    clean_name,
    glued_hash,
)

MAX_DEPTH = 8
"""Deepest nesting of lists and mappings; the aliases of an entry are at level 4."""
_DEEPER = {
    yaml.SequenceStartEvent: 1,
    yaml.MappingStartEvent: 1,
    yaml.SequenceEndEvent: -1,
    yaml.MappingEndEvent: -1,
}
_YAML_ADVICE = {
    "that cannot start any token": "put the name in quotation marks, and use spaces, not tabs",
    "expected <block end>": "entries of one list must start in the same column",
}


class YamlCatalogReader:
    """Reads entries from the nodes of a YAML document, which know their lines."""

    def __init__(self, text: str, problems: ListProblems) -> None:
        self._text, self._problems = text, problems

    def entries(self) -> list[ListEntry]:
        root = self._root()
        if root is None or self._problems:
            return []
        listed = root if isinstance(root, yaml.SequenceNode) else self._listed(root)
        if listed is None:
            return []
        return [entry for node in listed.value for entry in self._entry(node)]

    def _root(self) -> yaml.Node | None:
        depth = 0
        try:
            for event in yaml.parse(self._text, yaml.SafeLoader):
                depth += _DEEPER.get(type(event), 0)
                if depth > MAX_DEPTH:  # PyYAML takes quadratic time for it
                    self._problems.add(
                        event.start_mark.line + 1,
                        "too many brackets or lists in each other: an entry has lists of names.",
                    )
                    return None
                if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                    line = event.start_mark.line + 1
                    self._problems.add(
                        line, "anchors and references (& and *) can't be used: put a name that "
                        "starts so in quotation marks, and write repeated ones out."
                    )  # fmt: skip
                    return None
            return yaml.compose(self._text, yaml.SafeLoader)
        except yaml.YAMLError as error:
            self._problems.append(_yaml_problem(error))
            return None

    def _listed(self, root: yaml.Node) -> yaml.SequenceNode | None:
        """Return the list below `competitors:`."""
        pairs = self._pairs(root, ("competitors",)) if isinstance(root, yaml.MappingNode) else {}
        node = pairs.get("competitors")
        if self._problems:
            return None
        if node is None:
            self._add(root, "the file must have the key `competitors:` with a list below it.")
        elif isinstance(node, yaml.SequenceNode):
            return node
        elif not _is_null(node):
            self._add(node, "`competitors:` must be a list: start each name with a dash.")
        return None

    def _pairs(self, node: yaml.MappingNode, known: Sequence[str]) -> dict[str, yaml.Node]:
        """Return the values by key; report unknown and repeated keys."""
        found: dict[str, yaml.Node] = {}
        for key_node, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            key = str(key_node.value)
            if key in found:
                self._add(key_node, f"`{key}:` is there twice: keep one of them.")
            elif key not in known:
                close = get_close_matches(key, known, 1)
                advice = f"use {', '.join(known)}, and quote a name that has a colon."
                advice = f"did you mean {close[0]}?" if close else advice
                self._add(key_node, f"unknown key {key}: {advice}")
            found.setdefault(key, value)
        return found

    def _entry(self, node: yaml.Node) -> Iterator[ListEntry]:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            if name := self._name(node, "a name"):
                yield ListEntry(line, name)
            return
        pairs = self._pairs(node, KEYS)
        if "name" not in pairs:
            self._add(node, "has no name: add `name:`.")
            return
        name = self._name(pairs["name"], "`name:`")
        lists = {key: self._names(pairs.get(key), key) for key in LIST_KEYS}
        flags = {key: self._flag(pairs.get(key), key) for key in FLAG_KEYS}
        if name:
            sells = self._sells(pairs.get("sells"))
            yield ListEntry(
                line,
                name,
                lists["aliases"],
                flags["ambiguous"],
                lists["evidence"],
                bool(flags["own"]),
                sells,
                lists["sounds_like"],
            )

    def _sells(self, node: yaml.Node | None) -> str:
        if node is None or _is_null(node):
            return ""
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            self._add(node, "`sells:` must be a few words, such as mobile network.")
            return ""
        return " ".join(str(node.value).split())

    def _names(self, node: yaml.Node | None, key: str) -> tuple[str, ...]:
        if node is None or _is_null(node):
            return ()
        if not isinstance(node, yaml.SequenceNode):
            written = node.value if isinstance(node, yaml.ScalarNode) else "…"
            self._add(node, f"`{key}:` must be a list: write [{written}], or one dash per line.")
            return ()
        items = cast("list[yaml.Node]", node.value)
        return tuple(name for item in items if (name := self._name(item, f"`{key}:`")))

    def _flag(self, node: yaml.Node | None, key: str) -> bool | None:
        if node is None:
            return None
        if node.tag != "tag:yaml.org,2002:bool":
            self._add(node, f"`{key}:` must be true or false, not {node.value!r}.")
            return None
        return str(node.value).casefold() in ("true", "yes", "on")

    def _name(self, node: yaml.Node, what: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            # YAML parses a bare 3, no, on, 12:30 or date as something else.
            written = node.value if isinstance(node, yaml.ScalarNode) else "a list"
            self._add(node, f"{what} must be text, not {written or 'nothing'}: put it in "
                            '"quotation marks".')  # fmt: skip
            return None
        if node.style is None:
            line_rest = self._text[node.end_mark.index :].partition("\n")[0]
            if GLUED_HASH.match(line_rest):
                self._add(node, glued_hash(f"{node.value}{line_rest.rstrip()}"))
                return None
        return clean_name(node.start_mark.line + 1, str(node.value), self._problems)

    def _add(self, node: yaml.Node, problem: str) -> None:
        self._problems.add(node.start_mark.line + 1, problem)


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Return the line and the problem, without the parser's excerpt of the file."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        problem = error.problem or error.context or "invalid"
        advice = next((advice for part, advice in _YAML_ADVICE.items() if part in problem), "")
        line = error.problem_mark.line + 1
        return f"line {line}: invalid YAML ({problem}){': ' if advice else ''}{advice}."
    return f"line 1: invalid YAML ({' '.join(str(error).split())[:200]})."
