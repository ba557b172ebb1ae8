"""Settings of the services, where each runs in a process or container of its own."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from callpipeline.config.values import is_loopback_host


def _host_and_port(text: str) -> str:
    """Check an address without a scheme, which is that of no web page."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in text:
        raise ValueError("use the form host:port, such as code-server:4266")
    return text


ServerAddress = Annotated[str, AfterValidator(_host_and_port)]


class ServiceSettings(BaseSettings):
    """Settings of the commands that run one service each; see docs/operations.md."""

    # The code server listens on the first two, and is reached at the third.
    code_host: str = "127.0.0.1"
    code_port: int = Field(default=4266, ge=1, le=65535)
    code_server: ServerAddress | None = None
    # Dagster's UI likewise; its port is `port`, as that of `up`.
    ui_host: str = "127.0.0.1"
    ui_server: ServerAddress | None = None
    # Where runs are executed, how many at once, and how many of them in one Celery worker.
    run_launcher: Literal["default", "celery", "k8s"] = "default"
    max_runs: int = Field(default=5, ge=1, le=500)
    worker_runs: int | None = Field(default=None, ge=1, le=64)
    celery_broker: SecretStr | None = None
    celery_backend: SecretStr | None = None
    k8s_runs: Path | None = None

    log_format: Literal["text", "json"] = "text"
    stop_grace_s: float = Field(default=25.0, gt=0)
    starter_catalog: bool = True

    @property
    def ui_on_loopback(self) -> bool:
        """Return true if only this machine can reach Dagster's UI."""
        return is_loopback_host(self.ui_host)

    @property
    def code_address(self) -> tuple[str, int]:
        """Return host and port at which the daemon and the UI reach the code server."""
        return self._address(self.code_server, self.code_port)

    def ui_address(self, port: int) -> tuple[str, int]:
        """Return host and port at which the web app reaches Dagster's UI."""
        return self._address(self.ui_server, port)

    @staticmethod
    def _address(named: str | None, port: int) -> tuple[str, int]:
        if named is None:
            return "127.0.0.1", port
        host, _, number = named.rpartition(":")
        return host.strip("[]"), int(number)
