"""Fields of a source that are tables or lists, checked one by one.

Every error names the field and says what to write instead.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from callpipeline.domain.audio import Speaker
from callpipeline.errors import SettingsInvalid

_ROLES = {
    "agent": Speaker.AGENT,
    "customer": Speaker.CUSTOMER,
    "unknown": Speaker.UNKNOWN,
}


def parse_speakers(value: object) -> Mapping[str, Speaker]:
    """Return roles by label, written as `label: role`, or as `agent: [labels]`."""
    example = "for example `speakers: {SPEAKER_00: agent, Bert Cole: customer}`"
    roles: dict[str, Speaker] = {}
    for name, role in _table(value, "speakers", example).items():
        if name.casefold() in _ROLES and isinstance(role, list):
            labels = cast("list[object]", role)
            roles |= dict.fromkeys(map(_label, labels), _ROLES[name.casefold()])
            continue
        stated = _ROLES.get(str(role).strip().casefold())
        if stated is None:
            raise SettingsInvalid(
                f"`speakers:` {name} must be agent, customer or unknown, not {role}; {example}."
            )
        roles[name] = stated
    return roles


def parse_patterns(field: str) -> Callable[[object], tuple[str, ...]]:
    """Return a parser of a list of patterns of keys; a single one needs no list."""

    def parse(value: object) -> tuple[str, ...]:
        listed = cast("list[object]", value) if isinstance(value, list) else [value]
        patterns = [each.strip() for each in listed if isinstance(each, str) and each.strip()]
        if len(patterns) != len(listed) or not patterns:
            raise SettingsInvalid(
                f"`{field}:` must be a list of patterns in quotation marks: for example "
                f"`{field}: ['*.wav', 'archive/*']`."
            )
        return tuple(patterns)

    return parse


def _label(value: object) -> str:
    return str(value).strip()


def _table(value: object, field: str, example: str) -> dict[str, Any]:
    """Return a table by its names as text, since YAML reads a bare 0 as a number."""
    if not isinstance(value, Mapping) or not value:
        raise SettingsInvalid(f"`{field}:` must be a table: {example}.")
    table = cast("Mapping[object, Any]", value)
    return {str(name).strip(): each for name, each in table.items()}
