"""Write the licences of all run-time dependencies into NOTICE, and a CycloneDX SBOM.

    python docs/make_licences.py              # NOTICE
    python docs/make_licences.py --sbom FILE  # an SBOM (CycloneDX 1.6, JSON)

Names, versions and hashes are those of requirements.lock; licences are taken from the metadata of
the installed packages, and below for those that are not installed on this system.
"""

import argparse
import json
import re
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
LOCK, NOTICE = ROOT / "requirements.lock", ROOT / "NOTICE"
BEGIN = "Licences of the run-time dependencies (made by docs/make_licences.py):\n"

ELSEWHERE = {
    "colorama": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "pyreadline3": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
}
"""Dependencies on other systems."""
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)([^\\]*)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Dependency(NamedTuple):
    """A package of the lock file."""

    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str


def dependencies(lock: str) -> Iterator[Dependency]:
    """Yield the packages of a lock file, in its order."""
    pins = list(_PINNED.finditer(lock))
    ends = [*(pin.start() for pin in pins[1:]), len(lock)]
    for pin, end in zip(pins, ends, strict=True):
        hashes = tuple(_HASH.findall(lock[pin.end() : end]))
        name = re.sub(r"[-_.]+", "-", pin[1]).lower()
        yield Dependency(name, pin[2], hashes, licence_of(name))


def licence_of(name: str) -> str:
    """Return the licence of a package; raises SystemExit if it states none."""
    try:
        found = _stated(distribution(name))
    except PackageNotFoundError:
        found = ELSEWHERE.get(name) or _listed(name)
    if not found:
        raise SystemExit(f"{name} states no licence: look it up, and add it to ELSEWHERE")
    return found


def _listed(name: str) -> str:
    """Return what NOTICE says of a package that another version of Python needs."""
    line = re.search(rf"^  {re.escape(name)} \S+: (.+)$", NOTICE.read_text(), re.MULTILINE)
    return line[1] if line else ""


def _stated(package: Distribution) -> str:
    metadata = package.metadata
    prefix = "License :: "
    classified = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if line.startswith(prefix) and line != "License :: OSI Approved"
    ]
    text = (metadata["License"] or "").partition("\n")[0] if "License" in metadata else ""
    expression = (metadata.get_all("License-Expression") or [""])[0]
    return expression or "; ".join(classified) or text[:60]


def notice(found: list[Dependency]) -> str:
    """Return NOTICE with the list of licences at its end."""
    text = NOTICE.read_text().partition(BEGIN)[0].rstrip()
    lines = [f"  {each.name} {each.version}: {each.licence}" for each in found]
    return f"{text}\n\n{BEGIN}\n" + "\n".join(lines) + "\n"


def sbom(found: list[Dependency]) -> dict[str, Any]:
    """Return the SBOM. It is the same for the same lock file."""
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{each.name}@{each.version}",
            "name": each.name,
            "version": each.version,
            "purl": f"pkg:pypi/{each.name}@{each.version}",
            "licenses": [{"license": {"name": each.licence}}],
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"https://pypi.org/project/{each.name}/{each.version}/#files",
                    "hashes": [{"alg": "SHA-256", "content": hashed} for hashed in each.hashes],
                }
            ],
        }
        for each in found
    ]
    ours = f"pkg:pypi/callpipeline@{version('callpipeline')}"
    serial = uuid.uuid5(uuid.NAMESPACE_URL, ours + "".join(each.version for each in found))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "callpipeline",
                "version": version("callpipeline"),
                "purl": ours,
            }
        },
        "components": components,
        "dependencies": [{"ref": ours, "dependsOn": [each["bom-ref"] for each in components]}],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sbom", type=Path)
    options = parser.parse_args()
    found = list(dependencies(LOCK.read_text()))
    if options.sbom:
        options.sbom.parent.mkdir(parents=True, exist_ok=True)
        options.sbom.write_text(json.dumps(sbom(found), indent=2) + "\n")
    else:
        NOTICE.write_text(notice(found))


if __name__ == "__main__":
    main()
