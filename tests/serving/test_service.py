"""BentoML hosts the app: from source and as a built bento it starts, answers, guards its own routes, and stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx
import pytest

from serving.batch import ScoreParams, score
from serving.keys import create_key
from tests.serving.nightly import AS_OF, NOW, histories, rule_bundle, warehouse_of

ROOT = Path(__file__).parents[2]
SLIM = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"mlflow", "dvc", "optuna", "sklearn", "matplotlib", "pandas"}:
            raise ModuleNotFoundError(f"No module named {name!r} (absent in production)", name=name)
        return None

sys.meta_path.insert(0, Absent())
from pathlib import Path
import serving.service
from serving.batch import ScoreParams, score
from tests.serving.nightly import AS_OF, histories, rule_bundle, warehouse_of
from tests.serving.published import open_service, NOW
workspace = Path(sys.argv[1])
vendor = warehouse_of(workspace, histories())
score(vendor, rule_bundle(workspace / "bundle"), AS_OF, {}, ScoreParams())
service = open_service(workspace, clock=NOW)
assert service.get("/v1/leads").json()["total"] == 12
assert service.get("/v1/accounts/003/what-if").json()["what_if_absent"] == "rule"
body = {"as_of": AS_OF.isoformat(), "accounts": histories(2)}
answer = service.client.post("/v1/score", json=body, headers={"x-api-key": service.scorer})
assert answer.status_code == 200, answer.text
loaded = {name.split(".")[0] for name in sys.modules} & {"training", "simulator", "mlflow", "sklearn", "pandas"}
assert not loaded, loaded
"""


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with a live release, and a key that may do everything."""
    workspace = tmp_path_factory.mktemp("vendor")
    bundle = rule_bundle(workspace / "artifacts" / "candidate")
    score(warehouse_of(workspace, histories()), bundle, AS_OF, {}, ScoreParams())
    return workspace, create_key(workspace / "keys.json", "all", ("admin",), NOW)[1]


@contextmanager
def served(target: str, workspace: Path, folder: Path, **more: str) -> Iterator[httpx.Client]:
    """`bentoml serve target` in `folder`, until the block ends."""
    port = free_port()
    own = {"EXPANSION_WORKSPACE": str(workspace), "EXPANSION_PORT": str(port), "BENTOML_DO_NOT_TRACK": "True", **more}
    command = [sys.executable, "-m", "bentoml", "serve", target]
    with (workspace / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                _wait(client, server, workspace / "serve.log")
                yield client
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) is not None


def _wait(client: httpx.Client, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"not ready within 60 s:\n{log.read_text()}")


def _check(client: httpx.Client, key: str) -> None:
    bearer = {"authorization": f"Bearer {key}"}
    assert client.get("/livez").json() == {"alive": True}
    for path in ("/v1/leads", "/metrics", "/schema.json", "/docs.json", "/docs", "/nothing"):
        answer = client.get(path)
        assert "sign-in" in answer.text if path == "/docs" else answer.status_code == 401
    assert client.get("/schema.json", headers=bearer).json()["name"] == "expansion"
    leads = client.get("/v1/leads", headers=bearer).json()
    assert (leads["total"], leads["as_of"]) == (12, "2025-07-01")
    assert leads["items"][0]["reasons"]
    body = {"as_of": AS_OF.isoformat(), "accounts": histories(2)}
    scored = client.post("/v1/score", json=body, headers=bearer).json()
    assert [item["status"] for item in scored["items"]] == ["ok", "ok"]
    assert "<h1>Sign in</h1>" in client.get("/").text
    assert "Who will grow next" in client.get("/", headers=bearer).text
    large = client.post(
        "/v1/score", content=iter([b" " * 65536] * 20), headers={**bearer, "content-type": "application/json"}
    )
    assert large.status_code == 413
    for _ in range(5):  # a client that sends the whole body before it reads must find the answer, not a reset
        request = Request(
            f"{client.base_url}/v1/score", b" " * 8_000_000, {**bearer, "content-type": "application/json"}
        )
        with pytest.raises(HTTPError) as refused:
            urlopen(request)
        assert refused.value.code == 413
    assert client.get("/v1/leads", headers={**bearer, "host": "evil.example"}).status_code == 400


@pytest.mark.slow
def test_bentoml_serves_the_current_release_with_two_workers(vendor: tuple[Path, str], tmp_path: Path) -> None:
    workspace, key = vendor
    home = {"BENTOML_HOME": str(tmp_path / "bentoml"), "EXPANSION_WORKERS": "2", "EXPANSION_INSECURE": "true"}
    with served("serving.service:ExpansionService", workspace, ROOT, **home) as client:
        _check(client, key)
        client.get("/v1/accounts/003?horizon=180", headers={"x-api-key": key})
        text = client.get("/metrics", headers={"x-api-key": key}).text
        assert 'route="/v1/leads",status="200"} 1.0' in text
    log = (workspace / "serve.log").read_text()
    assert key not in log
    assert "evil.example" not in log
    assert log.count(f" serving release {AS_OF}-") == 2  # one line a worker
    assert log.count(" WARNING expansion.settings ") == 1
    assert " GET /v1/accounts/{account_id} 200 " in log
    assert "/v1/accounts/003" not in log
    assert log.count(f" key {key[4:16]}\n") > 5


@pytest.mark.slow
def test_a_built_bento_starts_and_answers_away_from_the_source(vendor: tuple[Path, str], tmp_path: Path) -> None:
    workspace, key = vendor
    home = {"BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    build = [sys.executable, "-m", "bentoml", "build", "-o", "tag"]
    built = subprocess.run(build, cwd=ROOT, env={**os.environ, **home}, capture_output=True, text=True, check=True)
    tag = built.stdout.strip().split("__tag__:")[-1]
    name, version = tag.split(":")
    inside = tmp_path / "bentoml" / "bentos" / name / version
    rooms = {path.name for path in (inside / "src").iterdir() if path.is_dir()}
    assert rooms == {"features", "models", "serving", "warehouse"}
    assert not (inside / "src" / "models" / "registry.py").exists()
    packages = (inside / "env" / "python" / "requirements.txt").read_text()
    assert not [
        word for word in ("mlflow", "dvc", "optuna", "scikit-learn", "matplotlib", "pandas") if word in packages
    ]
    with served(tag, workspace, tmp_path, **home) as client:
        _check(client, key)


@pytest.mark.slow
def test_a_second_service_of_the_same_user_leaves_the_counts_of_the_first_alone(
    vendor: tuple[Path, str], tmp_path: Path
) -> None:
    workspace, key = vendor
    seen = {"x-api-key": key}
    with started(workspace, tmp_path) as first:
        for _ in range(5):
            assert first.get("/v1/model", headers=seen).status_code == 200
        with started(workspace, tmp_path) as second:
            assert second.get("/v1/leads", headers=seen).status_code == 200
            assert first.get("/v1/model", headers=seen).status_code == 200
            told = [one.get("/metrics", headers=seen).text for one in (first, second)]
    assert 'route="/v1/model",status="200"} 6.0' in told[0]
    assert "/v1/leads" not in told[0]
    assert 'route="/v1/leads",status="200"} 1.0' in told[1]
    assert "/v1/model" not in told[1]


@contextmanager
def started(workspace: Path, home: Path) -> Iterator[httpx.Client]:
    """`expansion serve` over the workspace, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "expansion", "serve", "--workspace", str(workspace), "--port", str(port)]
    with (home / f"{port}.log").open("wb") as log:
        own = {**os.environ, "BENTOML_HOME": str(home)}
        server = subprocess.Popen(command, cwd=ROOT, env=own, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                _wait(client, server, home / f"{port}.log")
                yield client
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) is not None


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
def test_serving_and_scoring_need_none_of_the_training_tools(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLIM, str(tmp_path / "workspace")]
    own = {"EXPANSION_WORKSPACE": str(tmp_path / "workspace"), "BENTOML_HOME": str(tmp_path / "bentoml")}
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no.such.host.invalid"])
def test_a_port_that_is_taken_and_a_host_that_is_not_ours_are_told_in_one_sentence(tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        asked = ["--workspace", str(tmp_path), "--host", host, "--port", port]
        command = [sys.executable, "-m", "expansion", "serve", *asked]
        own = {"EXPANSION_INSECURE": "true"}
        ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert f"cannot listen at {host}, port {port}" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("said", "ends_with"),
    [([], "may be off on loopback only"), (["--insecure"], "cannot listen")],
    ids=["as ever", "at the owner's word"],
)
def test_a_service_without_keys_listens_to_other_machines_at_its_owners_word_alone(
    tmp_path: Path, said: list[str], ends_with: str
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:  # so that it stops right behind the door
        port = str(other.getsockname()[1])
        asked = ["--workspace", str(tmp_path), "--host", "0.0.0.0", "--port", port, "--no-auth", *said]
        command = [sys.executable, "-m", "expansion", "serve", *asked]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ends_with in ran.stderr
