"""The API reference."""

import re

from pydantic import SecretStr

from callpipeline.config import Settings
from tests.web.app_server import app_client


def test_the_api_reference_lists_every_route(settings: Settings, database_url: str) -> None:
    options = settings.model_copy(update={"database_url": SecretStr(database_url)})
    with app_client(options) as client:
        paths = client.get("/openapi.json").json()["paths"]
        page = client.get("/docs").text
    listed = set(re.findall(r"<summary><code>(\w+) (\S+?)</code>", page))
    assert listed == {(m.upper(), path) for path, methods in paths.items() for m in methods}
    assert ("GET", "/health") in listed
