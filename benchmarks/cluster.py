"""A standalone Spark cluster here: one master and two workers, each a Java process of its own on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120  # seconds until both workers have registered


@contextmanager
def standalone(folder: Path, memory: str = "1g") -> Iterator[str]:
    """The master's URL, while the cluster lives. `folder` takes its log and its spill; memory: of each worker, which
    has one core.

    Raises:
        TimeoutError: the workers did not register, with the end of the log.
    """
    import pyspark

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    home, log = Path(pyspark.__file__).parent, folder / "cluster.log"
    master, deploy = f"spark://127.0.0.1:{port}", "org.apache.spark.deploy"
    java = ["java", "-Xmx512m", "-cp", f"{home / 'jars' / '*'}"]
    place = os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SCALA_VERSION": "2.13"}
    worker = [*java, f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "-c", "1", "-m", memory]
    commands = [[*java, f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]]
    commands += [[*worker, "--work-dir", str(folder / f"worker-{n}"), master] for n in range(2)]
    running = []
    with log.open("w") as out:
        try:
            for command in commands:
                running.append(subprocess.Popen(command, env=place, stdout=out, stderr=out, start_new_session=True))
            _wait_for_workers(log)
            yield master
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for_workers(log: Path) -> None:
    for _ in range(PATIENCE * 2):
        if log.read_text().count("Registering worker") >= 2:
            return
        time.sleep(0.5)
    raise TimeoutError(f"the cluster did not come up in {PATIENCE} s: {log.read_text()[-2000:]}")
