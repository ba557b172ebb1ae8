"""NOTICE and the SBOM name every dependency of the lock file."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_licences", ROOT / "docs" / "make_licences.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_notice_is_up_to_date(licences: ModuleType):
    found = list(licences.dependencies(LOCK))
    assert len(found) == sum("==" in line for line in LOCK.splitlines())
    assert licences.notice(found) == (ROOT / "NOTICE").read_text(), "run `make sbom`"


def test_the_sbom_has_each_package_with_hashes_and_licence(licences: ModuleType):
    document = json.loads(json.dumps(licences.sbom(list(licences.dependencies(LOCK)))))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    parts = {each["name"]: each for each in document["components"]}
    assert parts["google-re2"]["licenses"] == [{"license": {"name": "BSD License"}}]
    for part in parts.values():
        [reference] = part["externalReferences"]
        assert reference["hashes"], part["name"]
        assert all(len(each["content"]) == 64 for each in reference["hashes"])
        assert part["licenses"][0]["license"]["name"]
    components = document["components"]
    hashes = sum(len(each["externalReferences"][0]["hashes"]) for each in components)
    assert hashes == LOCK.count("--hash=sha256:")
    listed = document["dependencies"][0]["dependsOn"]
    assert len(listed) == len(components)


def test_a_package_without_a_licence_is_not_passed_over(
    licences: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(SystemExit, match="states no licence"):
        licences.licence_of("no-such-package-of-ours")
