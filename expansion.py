"""The command line: each verb imports what it calls, calls it, and prints. Nothing imports this module.

stdout carries the result (`--json`: one JSON document), stderr the progress. Exit codes: 0 done, 2 usage, 3 bad data,
4 gate refused, 5 fault outside us, 6 locked by another run. This is the only place that reads the clock for a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from warehouse.accounting import Accounting
    from warehouse.store import Workspace

app = typer.Typer(
    help="Which small trial accounts will expand, by when, by how much, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Raw = Annotated[Path, typer.Option("--raw", help="folder of raw files")]
OptionalRaw = Annotated[Path | None, typer.Option("--raw", help="folder of raw files; absent: what was ingested last")]
Root = Annotated[Path, typer.Option("--workspace", help="folder that holds warehouse, artifacts, registry, releases")]
Params = Annotated[
    Path | None, typer.Option("--params", help="params file; absent: the workspace's own, else ./params.yaml")
]
AsOf = Annotated[str | None, typer.Option("--as-of", help="YYYY-MM-DD; absent: the end of the data")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
HERE = Path("workspace")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="folder to write the raw tables to")],
    world: Annotated[str | None, typer.Option("--world", help="plain, null or tiny")] = None,
    accounts: Annotated[int | None, typer.Option("--accounts")] = None,
    quarters: Annotated[int | None, typer.Option("--quarters")] = None,
    seed: Annotated[int | None, typer.Option("--seed")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace a folder that is not empty")] = False,
    params: Params = None,
    as_json: Json = False,
) -> None:
    """Invent a vendor: raw tables of trial accounts that land and expand."""
    from simulator.simulate import SimulateParams
    from simulator.simulate import simulate as run
    from warehouse.params import read_params, section

    given = {"world": world, "accounts": accounts, "quarters": quarters, "seed": seed}
    document = dict(read_params(params).get("simulate") or {}) | {k: v for k, v in given.items() if v is not None}
    summary = run(out, section({"simulate": document}, "simulate", SimulateParams), force)
    _show(summary, as_json, [f"{key}: {value}" for key, value in summary.items()])


@app.command()
def ingest(raw: Raw, workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Read raw files into the typed warehouse, every row accounted for."""
    from warehouse.lock import exclusive

    space = _workspace(workspace)
    with exclusive(space.root, "ingest"):
        accounting = _ingest(raw, space, _document(space, params))
    _show(accounting.to_json(), as_json, accounting.lines())


@app.command()
def check(raw: Raw, params: Params = None, as_json: Json = False) -> None:
    """Look a data folder over: counts in, out and set aside, clocks, event names, suggested tier floors."""
    from warehouse.check import check as run
    from warehouse.errors import ContractBroken
    from warehouse.ingest import IngestParams
    from warehouse.params import read_params, section

    report = run(raw, section(read_params(params), "ingest", IngestParams), _now())
    _show(report.to_json(), as_json, report.lines())
    if report.problems:
        raise ContractBroken(list(report.problems))


@app.command()
def features(
    raw: Raw,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write")] = Path("features.parquet"),
    params: Params = None,
    as_json: Json = False,
) -> None:
    """The feature table alone: every account as it looked at the midnight that opens a day."""
    import tempfile

    from features.build import build_features
    from features.catalogue import Definitions
    from features.snapshots import everyone
    from warehouse.engine import connect
    from warehouse.params import read_params
    from warehouse.periods import parse_day
    from warehouse.store import Workspace, open_warehouse, write_table

    day = parse_day(as_of)
    document = read_params(params)
    with tempfile.TemporaryDirectory(prefix="expansion-features-") as folder:
        space = Workspace(Path(folder))
        _ingest(raw, space, document)
        with connect(space.warehouse) as con:
            open_warehouse(con, space.warehouse)
            table = build_features(con, everyone(con, day), Definitions.from_params(document))
    write_table(table, out)
    said = {"out": str(out), "accounts": table.num_rows, "features": table.num_columns - 2, "as_of": as_of}
    _show(said, as_json, [f"{said['accounts']:,} accounts x {said['features']} features as of {as_of}: {out}"])


@app.command()
def train(raw: OptionalRaw = None, workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Snapshots, features, labels, fit, evaluate, register as challenger; the first to pass its gate is champion."""
    from warehouse.lock import exclusive

    space = _workspace(workspace)
    with exclusive(space.root, "train"):
        said = _train(raw, space, _document(space, params))
    lines = [said["headline"], f"grade: {said['grade']['word']}. {said['grade']['why']}", said["registered"]]
    _show(said, as_json, [*lines, f"report: {space.artifacts / 'model_card.md'}"])


@app.command()
def register(workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Log what `dvc repro` built as a challenger."""
    from warehouse.lock import exclusive

    space = _workspace(workspace)
    with exclusive(space.root, "register"):
        said = _register(space, _document(space, params))
    _show(said, as_json, [said["registered"]])


@app.command()
def promote(workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Make the challenger champion if the gate lets it; exit code 4 and nothing moved if not."""
    from training.evaluate import EvaluateParams
    from training.promote import promote as run
    from warehouse.lock import exclusive
    from warehouse.params import section

    space = _workspace(workspace)
    document = _document(space, params)
    with exclusive(space.root, "promote"):
        verdict = run(space, section(document, "evaluate", EvaluateParams), _now())
    _show(verdict.document(), as_json, [f"version {verdict.version} is champion. `expansion score` publishes with it."])


@app.command()
def rollback(workspace: Root = HERE, as_json: Json = False) -> None:
    """Make the previous champion and the release before the live one current again."""
    from serving import release
    from training.promote import rollback as run
    from warehouse.lock import exclusive

    space = _workspace(workspace)
    with exclusive(space.root, "rollback"):
        done = run(space, _now())
        live = release.rollback(space.releases).name if release.previous(space.releases) else None
    said = {"champion": done.version, "left": done.left, "release": live}
    _show(said, as_json, [f"version {done.version} is champion again; live release: {live or 'unchanged'}"])


@app.command()
def score(
    raw: OptionalRaw = None,
    workspace: Root = HERE,
    as_of: AsOf = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="bundle folder; absent: the champion's")] = None,
    force: Annotated[bool, typer.Option("--force", help="publish an as_of older than the live one")] = False,
    params: Params = None,
    as_json: Json = False,
) -> None:
    """The nightly batch: every account into a new release, all or nothing, the same inputs twice being one release."""
    from warehouse.lock import exclusive

    space = _workspace(workspace)
    with exclusive(space.root, "score"):
        said = _score(raw, space, _document(space, params), as_of, bundle, force)
    _show(said, as_json, [f"live: {said['release']} ({said['accounts']:,} accounts, {said['method']})"])


@app.command()
def serve(
    workspace: Root = HERE,
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port")] = 3000,
    workers: Annotated[int, typer.Option("--workers")] = 1,
    auth: Annotated[bool, typer.Option("--auth/--no-auth", help="ask for an API key on /v1")] = True,
) -> None:
    """The BentoML service over the current release; picks up a new one without a restart."""
    values = {"WORKSPACE": workspace.resolve(), "HOST": host, "PORT": port, "WORKERS": workers, "AUTH": auth}
    os.environ.update({f"EXPANSION_{name}": str(value) for name, value in values.items()})
    from serving.settings import read_settings, switch_off_telemetry

    switch_off_telemetry()
    read_settings()
    where = ["--host", host, "--port", str(port)]
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:ExpansionService", *where]
    os.chdir(Path(__file__).parent)
    os.execv(sys.executable, command)


@app.command()
def key(
    workspace: Root = HERE,
    name: Annotated[str, typer.Option("--name", help="whose key it is")] = "cli",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read, score or admin; may repeat")] = None,
    days: Annotated[float | None, typer.Option("--days", help="valid for so long; absent: no end")] = None,
    as_json: Json = False,
) -> None:
    """Make an API key; its text is shown once and kept nowhere."""
    from serving.keys import create_key

    made, text = create_key(workspace / "keys.json", name, tuple(scope or ("read", "score")), _now(), days)
    _show({"key": text, "id": made.id, "scopes": list(made.scopes)}, as_json, [text])


@app.command()
def leads(
    workspace: Root = HERE,
    limit: Annotated[int, typer.Option("--limit", help="1 to 200")] = 10,
    as_json: Json = False,
) -> None:
    """The first leads of the current release."""
    from serving import leads as book
    from serving import release
    from serving.schemas import LeadQuery

    live = release.open_release(_live(workspace))
    items = list(book.find(live, LeadQuery(limit=limit)).items)
    _show(items, as_json, [line for item in items for line in _lead_lines(item)])


@app.command()
def explain(account: str, workspace: Root = HERE, as_json: Json = False) -> None:
    """One account of the current release: probabilities by horizon, money, stage and every reason."""
    from serving import leads as book
    from serving import release
    from warehouse.errors import UsageError

    found = book.account(release.open_release(_live(workspace)), account)
    if found is None:
        raise UsageError(f'account "{account}" is not in the current release. Ids are exact; see `expansion leads`.')
    _show(found, as_json, _lead_lines(found))


@app.command()
def replay(
    account: str,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD")],
    workspace: Root = HERE,
    as_json: Json = False,
) -> None:
    """Score one account as of a past day with the live bundle: features, score and reasons as they would have been."""
    import pyarrow as pa

    from features.build import build_features
    from serving import release
    from warehouse.engine import connect
    from warehouse.errors import UsageError
    from warehouse.periods import parse_day
    from warehouse.store import open_warehouse

    space = _workspace(workspace)
    scorer = release.open_release(_live(workspace)).scorer
    spine = pa.table({"account_id": [account], "as_of": pa.array([parse_day(as_of)], pa.date32())})
    with connect(space.warehouse) as con:
        open_warehouse(con, space.warehouse)
        table = build_features(con, spine, scorer.definitions)
    if table.num_rows == 0:
        raise UsageError(f'account "{account}" had not signed up before {as_of}. Give a later --as-of.')
    said = {"features": table.to_pylist()[0], "score": scorer.score(table).to_pylist()[0]}
    said["score"]["reasons"] = json.loads(said["score"]["reasons"])
    flat = said["features"] | {k: v for k, v in said["score"].items() if k != "reasons"}
    reasons = [f"  {reason['text']}" for reason in said["score"]["reasons"]]
    _show(said, as_json, [*(f"{name}: {value}" for name, value in flat.items()), *reasons])


@app.command()
def incentives(workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Six sales measures by quarter: sign-ups, user base, adoption, consumption, revenue growth, lifetime value."""
    from features.catalogue import Definitions
    from serving.incentives import incentives as run
    from warehouse.engine import connect
    from warehouse.store import open_warehouse

    space = _workspace(workspace)
    with connect(space.warehouse) as con:
        open_warehouse(con, space.warehouse)
        rows = run(con, Definitions.from_params(_document(space, params)))
    names = list(rows[0]) if rows else []
    table = [" ".join(f"{name:>20}" for name in names)]
    table += [" ".join(f"{_cell(row[name]):>20}" for name in names) for row in rows]
    _show(rows, as_json, table)


@app.command()
def doctor(workspace: Root = HERE, as_json: Json = False) -> None:
    """What is live, what is registered, and whether both are whole."""
    from models import registry
    from serving import release

    space = _workspace(workspace)
    live = release.current(space.releases)
    said: dict[str, Any] = {"release": None, "aliases": {}, "problems": []}
    if live is None:
        said["problems"].append("no live release. Run `expansion score`.")
    else:
        opened = release.open_release(live)
        said["release"] = {"name": live.name, "method": opened.card["method"], "bundle": opened.scorer.bundle_id[:12]}
    if (space.root / "mlflow.db").exists():
        said["aliases"] = registry.aliases(space)
        if registry.CHAMPION in said["aliases"]:
            registry.fetch_bundle(space)
    lines = [f"live release: {said['release']}", f"registry: {said['aliases'] or 'empty'}", *said["problems"]]
    _show(said, as_json, [*lines, "all whole" if not said["problems"] else "see above"])


@app.command()
def demo(workspace: Root = HERE, params: Params = None) -> None:
    """A simulated vendor end to end: raw tables to a live release, the ten best leads, and how to open the page."""
    from serving.keys import create_key
    from simulator.simulate import SimulateParams
    from simulator.simulate import simulate as invent
    from warehouse.lock import exclusive
    from warehouse.params import section

    space = _workspace(workspace)
    document = _document(space, params or Path(__file__).parent / "params.yaml")
    with exclusive(space.root, "demo"):
        invent(space.root / "raw", section(document, "simulate", SimulateParams), force=True)
        said = _train(space.root / "raw", space, document)
        released = _score(None, space, document, None, None, force=True)
    _, text = create_key(space.root / "keys.json", "demo", ("read", "score"), _now(), days=30)
    leads(workspace, 10)
    print(f"\n{said['headline']}\ngrade: {said['grade']['word']}. {said['registered']}")
    print(f"live release: {released['release']}; report: {space.artifacts / 'model_card.md'}")
    print(f"\nOpen the page:   .venv/bin/expansion serve --workspace {workspace}")
    print(f"                 http://127.0.0.1:3000/#key={text}")
    print(f"Ask the API:     curl -H 'Authorization: Bearer {text}' 'http://127.0.0.1:3000/v1/leads?limit=3'")
    print("The key reads and scores for 30 days; `expansion key` makes another.")
    print(f"The simulated vendor's data ends {released['as_of']}, so the page says that the scores are old.")


def _train(raw: Path | None, space: Workspace, document: dict[str, Any]) -> dict[str, Any]:
    """The stages of dvc.yaml in order, then the registry."""
    from features.build import features_stage
    from features.catalogue import Definitions
    from features.snapshots import SnapshotParams, snapshots_stage
    from training.evaluate import EvaluateParams, evaluate
    from training.labels import LabelParams, labels_stage
    from training.train import TrainParams
    from training.train import train as fit
    from warehouse.params import section

    definitions, labels = Definitions.from_params(document), section(document, "labels", LabelParams)
    snapshots, fitting = section(document, "snapshots", SnapshotParams), section(document, "train", TrainParams)
    judging = section(document, "evaluate", EvaluateParams)
    if raw is not None:
        _ingest(raw, space, document)
    _keep(space, document)
    snapshots_stage(space, snapshots)
    features_stage(space, definitions)
    labels_stage(space, definitions, labels)
    fit(space, definitions, labels, fitting)
    evaluation = evaluate(space, judging)
    return {name: evaluation[name] for name in ("headline", "grade")} | _register(space, document)


def _register(space: Workspace, document: dict[str, Any]) -> dict[str, Any]:
    from training.promote import register_candidate
    from warehouse import progress

    with progress.stage("register"):
        done = register_candidate(space, document, _commit(), _now())
    number = done.version.version
    if done.promoted:
        said = f"version {number} is champion: the first to pass the gate"
    elif done.verdict.passed:
        said = f"version {number} is challenger and passes the gate: `expansion promote` makes it champion"
    else:
        said = f"version {number} is challenger and fails the gate: {' '.join(done.verdict.failures)}"
    return {"registered": said, "version": number, "promoted": done.promoted, "verdict": done.verdict.document()}


def _score(
    raw: Path | None, space: Workspace, document: dict[str, Any], as_of: str | None, bundle: Path | None, force: bool
) -> dict[str, Any]:
    import tempfile

    from features.snapshots import SnapshotParams, last_as_of
    from serving.batch import ScoreParams
    from serving.batch import score as run
    from warehouse import progress
    from warehouse.engine import connect
    from warehouse.params import section
    from warehouse.periods import parse_day
    from warehouse.store import open_warehouse

    settings = section(document, "score", ScoreParams)
    day = parse_day(as_of) if as_of else None
    if raw is not None:
        _ingest(raw, space, document)
    with connect(space.warehouse) as con:
        open_warehouse(con, space.warehouse)
        day = day or last_as_of(con, section(document, "snapshots", SnapshotParams))
    with tempfile.TemporaryDirectory(prefix="expansion-bundle-") as spare, progress.stage("score") as say:
        about: dict[str, Any] = {"grade": None, "headline": None}
        if bundle is None:
            bundle, about = _champion(space, document, Path(spare) / "bundle")
        say(f"as of {day}")
        live = run(space, bundle, day, {"commit": _commit(), **about}, settings, force)
    said = json.loads((live / "run.json").read_text())
    return {"release": live.name, "as_of": said["as_of"], "accounts": said["accounts"], "method": said["method"]}


def _champion(space: Workspace, document: dict[str, Any], spare: Path) -> tuple[Path, dict[str, Any]]:
    """The champion's bundle and how good it was found to be; without a champion the labelled rule, put in `spare`."""
    from features.catalogue import Definitions
    from models import registry
    from models.scorer import rule_scorer
    from training.labels import LabelParams
    from warehouse.params import section

    number = registry.alias(space, registry.CHAMPION) if (space.root / "mlflow.db").exists() else None
    if number is not None:
        kept = registry.run_folder(space, registry.version_of(space, number)) / "evaluation.json"
        evaluation = json.loads(kept.read_text(encoding="utf-8"))
        said = {"grade": evaluation["grade"]["word"], "headline": evaluation["headline"]}
        return registry.fetch_bundle(space), said
    labels = section(document, "labels", LabelParams)
    why = "no model has passed its gate"
    rule = rule_scorer(Definitions.from_params(document), labels.horizons, labels.default_horizon, why)
    rule.save(spare)
    return spare, {"grade": rule.card["grade"], "headline": rule.card["headline"]}


def _ingest(raw: Path, space: Workspace, document: dict[str, Any]) -> Accounting:
    from warehouse import progress
    from warehouse.ingest import IngestParams
    from warehouse.ingest import ingest as run
    from warehouse.params import section

    settings = section(document, "ingest", IngestParams)
    with progress.stage("ingest") as say:
        accounting = run(raw, space, settings, _now())
        say(", ".join(f"{count:,} {table}" for table, count in accounting.counts.items() if count))
    for table in accounting.counts:
        set_aside = sum(accounting.quarantined(table).values())
        if set_aside:
            print(f"    {table}: {set_aside:,} rows set aside, see {space.quarantine}", file=sys.stderr)
    return accounting


def _document(space: Workspace, params: Path | None) -> dict[str, Any]:
    """The params of this run: the file named, else those the workspace was trained with, else ./params.yaml."""
    from warehouse.params import read_params

    own = space.root / "params.yaml"
    return read_params(params if params is not None else own if own.exists() else None)


def _keep(space: Workspace, document: dict[str, Any]) -> None:
    """The nightly batch reads the same params without being told."""
    import yaml

    (space.root / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _workspace(root: Path) -> Workspace:
    from warehouse.store import Workspace

    return Workspace(root)


def _live(root: Path) -> Path:
    from serving import release
    from warehouse.errors import UsageError

    live = release.current(root / "releases")
    if live is None:
        raise UsageError(f"{root} has no live release. Run `expansion score --workspace {root}` first.")
    return live


def _lead_lines(item: dict[str, Any]) -> list[str]:
    chances = "  ".join(
        f"{row['days']} d {'-' if row['probability'] is None else format(row['probability'], '.0%')}"
        for row in item["horizons"]
    )
    money = item.get("expected_increment")
    extra = "" if money is None else f"  expected {money:+,.0f} {item['currency']} in {item['horizon']} d"
    head = f"{item['rank']:>4}. {item['account_id']}  band {item['band']}  {item['stage']}  {item['tier']}"
    towards = f" -> {item['next_tier']}" if item.get("next_tier") else ""
    reasons = [f"        {'+' if r['direction'] == 'up' else '-'} {r['text']}" for r in item["reasons"]]
    return [f"{head}{towards}  {chances}{extra}", *reasons]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _show(document: Any, as_json: bool, lines: list[str]) -> None:
    print(json.dumps(document, indent=1, default=str, ensure_ascii=False) if as_json else "\n".join(lines))


def _now() -> datetime:
    return datetime.now(UTC)


def _commit() -> str:
    """The git commit of the code, `unknown` outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Runs the verb and turns every error meant for people into its message and exit code."""
    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        raise SystemExit(stop.exit_code) from None
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(5) from error
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        show = getattr(error, "show", None)  # a usage error of the command line itself
        show() if show else print(f"error: {error}", file=sys.stderr)
        raise SystemExit(code) from None


if __name__ == "__main__":
    main()
