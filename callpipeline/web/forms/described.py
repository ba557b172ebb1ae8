"""How a form that is read by hand is described in the API's description."""

from typing import Any

from pydantic import BaseModel


def a_form(fields: type[BaseModel], *, file_field: str, holds: str) -> dict[str, Any]:
    """`multipart/form-data` with a file and the fields of a model."""
    known = fields.model_json_schema()
    file = {"type": "string", "format": "binary", "description": holds}
    schema = {
        "type": "object",
        "required": [file_field, *known.get("required", [])],
        "properties": {file_field: file, **known["properties"]},
    }
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
