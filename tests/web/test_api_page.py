"""The page that describes the API."""

import re

from pydantic import SecretStr

from callpipeline.config import Settings
from tests.web.app_server import asked


def test_every_route_of_the_api_is_described(settings: Settings, database_url: str) -> None:
    options = settings.model_copy(update={"database_url": SecretStr(database_url)})
    with asked(options) as client:
        paths = client.get("/openapi.json").json()["paths"]
        page = client.get("/docs").text
    named = set(re.findall(r"<summary><code>(\w+) (\S+?)</code>", page))
    assert named == {(m.upper(), path) for path, methods in paths.items() for m in methods}
    assert ("GET", "/health") in named
