"""Deployment settings from EXPANSION_* variables: the only reader of the environment. None of them changes a score."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from warehouse.errors import UsageError

REQUEST_MEMORY = "512MB"  # of DuckDB for one request, which holds at most 1 MiB of rows or the facts of one account
logger = logging.getLogger("expansion.settings")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


class Settings(BaseSettings):
    """Frozen. Durations carry their unit in the name; `allowed_hosts` is a comma-separated list of further host names
    that the Host header may name; `auth` off is accepted on loopback only, unless `insecure` says it is meant.
    `requests_per_minute`: of one key in one process; 0: as many as it likes."""

    model_config = SettingsConfigDict(env_prefix="EXPANSION_", frozen=True, extra="ignore")

    workspace: Path = Path("workspace")
    host: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    auth: bool = True
    insecure: bool = False
    allowed_hosts: str = ""
    reload_seconds: float = Field(default=1.0, ge=0)
    stale_after_hours: float = Field(default=36, gt=0)
    session_hours: float = Field(default=12, gt=0)
    body_limit_bytes: int = Field(default=1 << 20, gt=0)
    requests_per_minute: int = Field(default=60_000, ge=0)  # a key; far above what people ask for
    body_seconds: float = Field(default=10, gt=0)
    # BentoML points prometheus_client at a folder shared by its workers; it names the variable, not we.
    metrics_folder: Path | None = Field(default=None, validation_alias="PROMETHEUS_MULTIPROC_DIR")

    @property
    def loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def keys_file(self) -> Path:
        return self.workspace / "keys.json"

    @property
    def hosts(self) -> frozenset[str] | None:
        """Names the Host header may carry, lower case and without port; None where any may (off loopback, no list)."""
        named = frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())
        if self.loopback:
            return LOOPBACK | named
        return named | {self.host} if named else None


def warn_open_door(settings: Settings) -> None:
    """One line in the log while the service serves other machines at its owner's word."""
    if settings.insecure:
        keys = "asks for keys" if settings.auth else "asks nobody for a key"
        end = "To end this take --insecure or EXPANSION_INSECURE away."
        logger.warning(
            "INSECURE: host %s may be open to other machines, and the service %s. %s", settings.host, keys, end
        )


def refuse_taken_port(settings: Settings) -> None:
    """Raises UsageError if something listens at the host and port already, or nothing could."""
    host = settings.host.strip("[]")
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
            probe.bind(address)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {settings.host}, port {settings.port}: {error.strerror}. "
            "Stop what listens there, or give another --port or --host."
        ) from error


def own_home(host: str, port: int) -> Path:
    """A folder of BentoML's for the service at this host and port alone: it empties the folder in which its workers
    count at every start, so a second service of the same user would wipe the counts of the first."""
    home = os.environ.get("BENTOML_HOME")
    folder = (
        Path(home) if home else Path.home() / "bentoml"
    ) / f"expansion-{host.strip('[]').replace(':', '_')}-{port}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        UsageError: a variable has a value of the wrong type or range; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"EXPANSION_{str(item['loc'][0]).upper()}: {item['msg']}." for item in error.errors()]
        raise UsageError("\n".join(lines)) from error


def armed_failpoint() -> str:
    """`name[:action]` of the failpoint (serving.failpoint) a test has armed; empty everywhere else."""
    return os.environ.get("EXPANSION_FAILPOINT", "")


def switch_off_telemetry() -> None:
    """BentoML reports usage unless this variable says no; whoever sets it keeps the choice."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
