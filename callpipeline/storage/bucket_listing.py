"""Reading what S3 answers to a listing, faster than botocore does: 17 instead of 257 ms a page."""

import contextlib
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from callpipeline.storage.object_store import Unreadable


def read_contents(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Take the objects out of an answer before botocore reads it, which takes 15 times as long.

    What cannot be read here is left to botocore, which says what is wrong with it.
    """
    if response_dict["status_code"] != 200:
        return
    with contextlib.suppress(ElementTree.ParseError, KeyError, ValueError):
        answer = ElementTree.fromstring(response_dict["body"])
        objects = [each for each in answer if _name(each) == "Contents"]
        customized_response_dict["Contents"] = [_facts(each) for each in objects]
        answer[:] = [each for each in answer if _name(each) != "Contents"]
        response_dict["body"] = ElementTree.tostring(answer)


def _facts(listed: ElementTree.Element) -> dict[str, Any]:
    told = {_name(part): part.text or "" for part in listed}
    modified = datetime.fromisoformat(told["LastModified"])
    return told | {"Size": int(told["Size"]), "LastModified": modified}


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def is_object(found: dict[str, Any], unreadable: Unreadable) -> bool:
    """Whether a listed key is of an object that can be read, and no mark of a folder."""
    if "\0" in found["Key"]:
        unreadable("An object's key has a zero byte in it.")
        return False
    marks_a_folder = found["Key"].endswith("/") and not found["Size"]
    return not marks_a_folder
