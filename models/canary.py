"""A trial load of a bundle in a process that may die of it.

A damaged LightGBM file does not raise: it ends the process, hangs it, or loads and predicts something else. SHA-256 is
checked before anything is parsed, but whoever sealed a bundle may have sealed the damage. So before a process loads a
bundle, a throw-away one does, within SECONDS and MEMORY_BYTES, and has to reproduce the golden predictions.

    python -m models.canary --seconds 30 FOLDER...

prints one line of JSON a folder: {"bundle_id": ..., "refused": null or why}. Each folder is tried in a fork of its own,
which is given so many seconds, without scikit-learn, pandas and MLflow, which no bundle may need.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, NoReturn

from models.errors import BundleOutdated, BundleRefused
from models.manifest import verify

SECONDS = 30.0
MEMORY_BYTES = 4 << 30  # of address space
SPARE_SECONDS = 60.0  # for the interpreter to start and import, on a machine that is busy
NOT_NEEDED = ("sklearn", "pandas", "mlflow")
_proven: set[str] = set()  # ids of bundles that a canary of this process survived


def prove(folder: Path) -> str:
    """The id of the bundle in `folder`, once it may be loaded here. One canary a bundle and process.

    Raises:
        BundleRefused: a file is not what was sealed, or the canary died, hung or predicted something else.
    """
    bundle_id = verify(folder)
    if bundle_id in _proven:
        return bundle_id
    [said] = send([folder])
    if said["refused"] is not None:
        raise (BundleOutdated if said.get("outdated") else BundleRefused)(said["refused"])
    if said["bundle_id"] != bundle_id:
        raise BundleRefused(f"{folder}: changed while it was tried. Fetch it again.")
    _proven.add(bundle_id)
    return bundle_id


class _Absent(MetaPathFinder):
    """Hides what no bundle may need. With null in `sys.modules` PyArrow would stumble over pandas."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.split(".")[0] in NOT_NEEDED:
            raise ModuleNotFoundError(f"{fullname} is hidden from a canary", name=fullname)


def send(folders: list[Path], seconds: float = SECONDS) -> list[dict[str, Any]]:
    """What the canaries of `folders` say, each given `seconds`; the caller survives whatever they load."""
    command = [sys.executable, "-m", "models.canary", "--seconds", str(seconds), *(str(f.resolve()) for f in folders)]
    root = Path(__file__).parents[1]
    # a session of its own, so that one signal ends the supervisor and whatever it has forked
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, _ = process.communicate(timeout=SPARE_SECONDS + seconds * len(folders))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
    said = [json.loads(line) for line in out.decode().splitlines()]
    why = f"no answer from its trial process (exit code {process.returncode}). Look at memory and time limits here."
    return said + [{"bundle_id": None, "refused": f"{folder}: {why}"} for folder in folders[len(said) :]]


def main(arguments: list[str]) -> None:
    """The supervisor: forks a canary a folder and prints what became of it."""
    parser = argparse.ArgumentParser(prog="python -m models.canary", description="A trial load of bundles.")
    parser.add_argument("--seconds", type=float, required=True, help="that each of them is given")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    asked = parser.parse_args(arguments)
    sys.meta_path.insert(0, _Absent())
    import models.scorer  # noqa: F401 - once, before the forks; no booster is made here, so no thread is lost in them

    for folder in asked.folders:
        print(json.dumps(_watch(folder, asked.seconds)), flush=True)


def _watch(folder: Path, seconds: float) -> dict[str, Any]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _sing(folder, write, seconds)
    os.close(write)
    try:
        raw, ended = _listen(read, seconds)
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
        _, status = os.waitpid(pid, 0)
    if not ended:
        return {"bundle_id": None, "refused": f"{folder}: its trial load did not end within {seconds:g} seconds."}
    try:
        return dict(json.loads(raw))
    except ValueError:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.waitstatus_to_exitcode(status)}"
        why = f"{folder}: loading it killed a trial process ({how}). The bundle is damaged: fetch or train it again."
        return {"bundle_id": None, "refused": why}


def _listen(pipe: int, seconds: float) -> tuple[bytes, bool]:
    """All that comes through `pipe`, and whether it came, or its other end closed, in time. A canary writes once, as
    its last act, so only the first byte has to be waited for."""
    if not select.select([pipe], [], [], seconds)[0]:
        return b"", False
    out = b""
    while piece := os.read(pipe, 65536):
        out += piece
    return out, True


def _sing(folder: Path, pipe: int, seconds: float) -> NoReturn:
    """In the fork: loads, checks the golden predictions, says how it went, and leaves without any cleaning up."""
    from models.golden import check_golden
    from models.scorer import Scorer

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(4 * seconds) + 1,) * 2)  # outlives no supervisor by long
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        scorer = Scorer.load(folder)
        check_golden(scorer, folder)
        said: dict[str, Any] = {"bundle_id": scorer.bundle_id, "refused": None}
    except BundleRefused as error:
        said = {"bundle_id": None, "refused": str(error), "outdated": isinstance(error, BundleOutdated)}
    except Exception as error:  # whatever a damaged file makes a parser raise, it is refused
        why = f"{folder}: not readable ({type(error).__name__}). The bundle is damaged: fetch or train it again."
        said = {"bundle_id": None, "refused": why}
    os.write(pipe, json.dumps(said).encode())
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
