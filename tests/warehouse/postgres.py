"""A private PostgreSQL of the tests: made in a folder of its own, reached over a socket in it, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "canary-of-the-owner"
SETTINGS = {  # a session zone far from UTC, so that a test sees who forgets to convert
    "listen_addresses": "",
    "fsync": "off",
    "timezone": "America/New_York",
    "max_connections": "10",
    "shared_buffers": "32MB",
}


@dataclass(frozen=True)
class Cluster:
    """A running server. `folder`: where its socket is; `programs`: psql and the like."""

    folder: Path
    programs: Path

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{PASSWORD}@/postgres?host={self.folder}"

    def run(self, sql: str) -> str:
        """What psql prints for `sql`: a line a row, columns separated by |."""
        command = [
            self.programs / "psql",
            "-h",
            self.folder,
            "-U",
            "postgres",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]
        done = subprocess.run(
            command, env=os.environ | {"PGPASSWORD": PASSWORD}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, the newest version first; null where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((place.parent for place in places), key=lambda place: float(place.parent.name), default=None)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Starts a server and stops it at the end, also after a failure. PostgreSQL refuses root, who therefore runs it as
    the user `postgres`."""
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has at most 107 characters
    other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []
    data = folder / "data"
    control = [*other, str(where / "pg_ctl"), "-D", str(data), "-s", "-w", "-t", "60"]
    try:
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        if other:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(folder / "password", "postgres", "postgres")
        login = ["-U", "postgres", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        _run([*other, str(where / "initdb"), "-D", str(data), "-N", "-E", "UTF8", "--locale=C", *login], folder)
        settings = " ".join(f"-c {key}='{value}'" for key, value in SETTINGS.items())
        _run([*control, "-l", str(folder / "log"), "-o", f"-k {folder} {settings}", "start"], folder)
        yield Cluster(folder, where)
    finally:
        if (data / "postmaster.pid").exists():
            subprocess.run([*control, "-m", "immediate", "stop"], cwd=folder, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        log = folder / "log"
        told = done.stdout.decode(errors="replace") + (log.read_text(encoding="utf-8") if log.exists() else "")
        raise RuntimeError(f"{Path(command[-1]).name} failed: {told}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running
