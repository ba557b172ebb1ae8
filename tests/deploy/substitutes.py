"""Images made of packages of Debian and PyPI alone, for machines that reach no image registry."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.deploy.compose_pod import podman

IMAGES = Path(__file__).parent / "images"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Store of certificates in the base image; a proxy's own one is there."""
BUILD_S = 3600
_LEFT_OUT = ("doc", "man", "locale", "info")


def build(image: str, containerfile: Path, context: Path, **arguments: str) -> str:
    """Build an image with the network of this machine; return its name."""
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    # The format of OCI has no HEALTHCHECK.
    words += ["--format=docker", "--network=host", "--isolation=chroot"]
    words += ["-f", str(containerfile), "-t", image]
    podman("build", *words, str(context), timeout_s=BUILD_S)
    return image


def base_image() -> str:
    """Return an image with Debian's Python 3.13, built with mmdebstrap if it is missing."""
    image = "localhost/callpipeline-base:test"
    if _exists(image):
        return image
    with tempfile.TemporaryDirectory() as folder:
        certificates = os.environ.get("SSL_CERT_FILE", CERTIFICATES)
        shutil.copy(certificates, Path(folder) / "ca-certificates.crt")
        packages = "python3,python3-venv,ca-certificates"
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
        command = ["mmdebstrap", "--variant=minbase", f"--include={packages}", *excluded]
        subprocess.run(
            [*command, "trixie", f"{folder}/base.tar", "http://deb.debian.org/debian"],
            check=True,
            timeout=BUILD_S,
        )
        return build(image, IMAGES / "Containerfile.base", Path(folder))


def other_images(base: str) -> dict[str, str]:
    """Return variables of the compose file that name a Postgres and a store, built if missing."""
    built: dict[str, str] = {}
    for name in ("postgres", "s3"):
        image = f"localhost/callpipeline-{name}:test"
        if not _exists(image):
            containerfile = IMAGES / f"Containerfile.{name}"
            build(image, containerfile, IMAGES, BASE_IMAGE=base, SSL_CERT_FILE=CERTIFICATES)
        built[f"{name.upper()}_IMAGE"] = image
    return built


def _exists(image: str) -> bool:
    return subprocess.run(["podman", "image", "exists", image], check=False).returncode == 0
