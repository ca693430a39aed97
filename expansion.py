"""The command line: each verb imports what it calls, calls it, and prints; a run's clock is read here.

stdout carries the result, stderr the progress; exit codes stand in warehouse/errors.py. Nothing imports this module. It
is long because it is a list: of every verb what it is asked and what it prints, and no room may import them all."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.catalogue import Definitions
    from serving.release import Release
    from warehouse.accounting import Accounting
    from warehouse.store import Workspace

HELP = "Which small trial accounts will expand, by when, by how much, and why."
app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Raw = Annotated[Path, typer.Option("--raw", help="folder of raw files")]
OptionalRaw = Annotated[Path | None, typer.Option("--raw", help="folder of raw files; absent: what was ingested last")]
Root = Annotated[
    Path,
    typer.Option("--workspace", file_okay=False, help="folder that holds warehouse, artifacts, registry, releases"),
]
Params = Annotated[Path | None, typer.Option("--params", help="absent: the workspace's own, else ./params.yaml")]
Engine = Annotated[str, typer.Option("--engine", help="duckdb (this machine) or spark (docs/scale.md)")]
Master = Annotated[str, typer.Option("--master", help="of Spark, such as spark://host:7077")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="YYYY-MM-DD; absent: the end of the data")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
HERE = Path("workspace")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="folder to write the raw tables to")],
    world: Annotated[str | None, typer.Option("--world", help="its name; docs/simulator.md has them all")] = None,
    accounts: Annotated[int | None, typer.Option("--accounts")] = None,
    quarters: Annotated[int | None, typer.Option("--quarters")] = None,
    seed: Annotated[int | None, typer.Option("--seed")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="processes; absent: one a core")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace a folder that is not empty")] = False,
    params: Params = None,
    as_json: Json = False,
) -> None:
    """Invent a vendor: raw tables of trial accounts that land and expand."""
    from simulator import simulate as market
    from warehouse.params import read_params, section

    asked = {"world": world, "accounts": accounts, "quarters": quarters, "seed": seed}.items()
    base = section(read_params(params), "simulate", market.SimulateParams).model_dump()
    told = {"simulate": base | {name: value for name, value in asked if value is not None}}
    summary = market.simulate(out, section(told, "simulate", market.SimulateParams), force, workers)
    _show(summary, as_json, [f"{key}: {value}" for key, value in summary.items()])


@app.command()
def ingest(
    raw: Raw,
    workspace: Root = HERE,
    whole: Annotated[bool, typer.Option("--whole", help="land every file anew, not only what changed")] = False,
    params: Params = None,
    as_json: Json = False,
) -> None:
    """Read raw files into the typed warehouse, every row accounted for; a new day touches only its own months."""
    from warehouse.lock import exclusive
    from warehouse.params import workspace_params

    with exclusive(workspace, "ingest"):
        accounting = _ingest(raw, _workspace(workspace), workspace_params(workspace, params), whole)
    _show(accounting.to_json(), as_json, accounting.lines())


@app.command()
def check(
    raw: Raw,
    params: Params = None,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option("--html", help="also write the report as one page of its own")] = None,
) -> None:
    """Profile a data folder before anything is built from it, and say what there is to learn from; 3 if refused."""
    from training.check_page import page
    from training.check_report import check as run
    from training.check_terminal import show
    from training.gate import GateParams
    from warehouse.params import read_params, section

    if html is not None:
        _refuse_folder("--html", html)
    document = read_params(params)
    report = run(raw, document, _now(), section(document, "gate", GateParams).min_positives)
    if html is not None:
        html.write_text(page(report), encoding="utf-8")
    if as_json:
        _show(report.to_json(), True, [])
    else:
        show(report, sys.stdout)
    raise typer.Exit(3 if report.refused else 0)


@app.command()
def features(
    raw: Raw,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write")] = Path("features.parquet"),
    known_by: Annotated[str | None, typer.Option("--known-by", help="in hindsight: as known at this later day")] = None,
    engine: Engine = "duckdb",
    master: Master = "local[2]",
    params: Params = None,
    as_json: Json = False,
) -> None:
    """The feature table alone: every account as it looked at the midnight that opens a day."""
    from features.build import features_of
    from features.catalogue import Definitions
    from warehouse.ingest import IngestParams
    from warehouse.params import read_params, section
    from warehouse.periods import parse_day
    from warehouse.store import write_table

    _refuse_folder("--out", out)
    document = read_params(params)
    ingesting, meanings = section(document, "ingest", IngestParams), Definitions.from_params(document)
    hindsight, cluster = _day(known_by), _master(engine, master)
    table = features_of(raw, parse_day(as_of), ingesting, meanings, _now(), hindsight, cluster)
    write_table(table, out)
    said = {"out": str(out), "accounts": table.num_rows, "features": table.num_columns - 2, "as_of": as_of}
    _show(said, as_json, [f"{name}: {value}" for name, value in said.items()])


@app.command()
def train(
    raw: OptionalRaw = None,
    workspace: Root = HERE,
    params: Params = None,
    if_matured: Annotated[bool, typer.Option("--if-matured", help="only where a label matured since the last")] = False,
    as_json: Json = False,
) -> None:
    """Snapshots, features, labels, fit, evaluate, register as challenger; the first to pass its gate is champion."""
    from warehouse.lock import exclusive
    from warehouse.params import workspace_params

    space = _workspace(workspace)
    with exclusive(space.root, "train"):
        said = _train(raw, space, workspace_params(space.root, params), if_matured)
    if not said["trained"]:
        return _show(said, as_json, [f"not trained: {said['why']}"])
    lines = [said["headline"], f"grade: {said['grade']['word']}. {said['grade']['why']}", said["registered"]]
    _show(said, as_json, [*lines, f"report: {space.artifacts / 'model_card.md'}"])


@app.command()
def register(workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Log what `dvc repro` built as a challenger."""
    from models.registry import code_commit
    from training.pipeline import register as run
    from warehouse.lock import exclusive
    from warehouse.params import workspace_params

    space = _workspace(workspace)
    with exclusive(space.root, "register"):
        said = run(space, workspace_params(space.root, params), code_commit(), _now())
    _show(said, as_json, [said["registered"]])


@app.command()
def promote(workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Make the challenger champion if the gate lets it; exit code 4 and nothing moved if not."""
    from training.gate import GateParams
    from training.promote import promote as run
    from training.promote import settled
    from warehouse.lock import exclusive
    from warehouse.params import section, workspace_params

    space = _workspace(workspace)
    document = workspace_params(space.root, params)
    with exclusive(space.root, "promote"):
        if (version := settled(space)) is not None:
            line = f"version {version} is champion already and no challenger waits. `expansion train` makes one."
            return _show({"version": version, "changed": False}, as_json, [line])
        verdict = run(space, section(document, "gate", GateParams), _now())
    line = f"version {verdict.version} is champion. `expansion score` publishes with it."
    _show(verdict.document() | {"changed": True}, as_json, [line])


@app.command()
def rollback(workspace: Root = HERE, as_json: Json = False) -> None:
    """Make the release before the live one current again, and the previous champion champion, where there is one."""
    from functools import partial

    from serving import release
    from training.promote import OlderRelease
    from training.promote import rollback as run
    from warehouse.lock import exclusive

    space = _workspace(workspace)
    with exclusive(space.root, "rollback"):
        live, before = release.current(space.releases), release.previous(space.releases)
        check, swap = partial(release.verify_previous, space.releases), partial(release.rollback, space.releases)
        older = OlderRelease(before.name, live.name if live else None, check, swap) if before else None
        done = run(space, _now(), older)
    said = {"champion": done.version, "release": done.release}  # null: unchanged
    _show(said, as_json, [f"{name}: {value or 'unchanged'}" for name, value in said.items()])


@app.command()
def score(
    raw: OptionalRaw = None,
    workspace: Root = HERE,
    as_of: AsOf = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="bundle folder; absent: the champion's")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="also an as_of, or raw files, older than the live release")
    ] = False,
    engine: Engine = "duckdb",
    master: Master = "local[2]",
    params: Params = None,
    as_json: Json = False,
) -> None:
    """The nightly batch: every account into a new release, all or nothing, the same inputs twice being one release."""
    from serving.status import night
    from warehouse.params import workspace_params

    space = _workspace(workspace)
    day = _day(as_of)  # before the night begins: what cannot be read as a day is no failed night

    def work() -> dict[str, Any]:
        return _score(raw, space, workspace_params(space.root, params), day, bundle, force, _master(engine, master))

    said = night(space.root, None if day is None else day.isoformat(), _now, work)
    _show(said, as_json, [f"live: {said['release']} ({said['accounts']:,} accounts, by {said['method']})"])


@app.command()
def serve(
    workspace: Root = HERE,
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port")] = 3000,
    workers: Annotated[int, typer.Option("--workers")] = 1,
    auth: Annotated[bool, typer.Option("--auth/--no-auth", help="ask for an API key on /v1")] = True,
    insecure: Annotated[bool, typer.Option("--insecure", help="open --host to other machines at your word")] = False,
    as_json: Json = False,
) -> None:
    """The BentoML service over the current release; picks up a new one without a restart."""
    values = {"WORKSPACE": workspace.resolve(), "HOST": host, "PORT": port, "WORKERS": workers, "AUTH": auth}
    values |= {"INSECURE": True} if insecure else {}  # not given: as the environment says
    os.environ.update({f"EXPANSION_{name}": str(value) for name, value in values.items()})
    from serving.api import refuse_open_door
    from serving.release import current
    from serving.settings import own_home, read_settings, refuse_taken_port, switch_off_telemetry

    switch_off_telemetry()
    settings = read_settings()
    refuse_open_door(settings, _now)
    refuse_taken_port(settings)
    if current(workspace / "releases") is None:
        print(f"{workspace} holds no live release yet: the service waits for `expansion score`.", file=sys.stderr)
    if as_json:
        _show({"url": f"http://{host}:{port}/", "workspace": str(values["WORKSPACE"]), "auth": auth}, True, [])
        sys.stdout.flush()
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # stdout has held its one document
    os.environ["BENTOML_HOME"] = str(own_home(host, port))
    os.chdir(Path(__file__).parent)
    service = ["-m", "bentoml", "serve", "serving.service:ExpansionService", "--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *service])


@app.command()
def key(
    workspace: Root = HERE,
    name: Annotated[str, typer.Option("--name", help="whose key it is")] = "cli",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read, score or admin; may repeat")] = None,
    days: Annotated[float | None, typer.Option("--days", help="valid for so long; absent: no end")] = None,
    revoke: Annotated[str | None, typer.Option("--revoke", help="id of a key to end at once")] = None,
    listed: Annotated[bool, typer.Option("--list", help="the keys there are: id, name, scopes, state")] = False,
    as_json: Json = False,
) -> None:
    """Make an API key; its text is shown once and kept nowhere. Or end one, or list them."""
    from serving.keys import create_key, list_keys, revoke_key
    from serving.terminal import key_lines
    from warehouse import progress
    from warehouse.errors import UsageError

    if not workspace.is_dir():
        raise UsageError(
            f"{workspace} is not there, so no service would ask for its keys. Give the --workspace served."
        )
    if listed:
        told = [one.told(_now()) for one in list_keys(workspace / "keys.json")]
        return _show(told, as_json, key_lines(told))
    if revoke is not None:
        ended = revoke_key(workspace / "keys.json", revoke, _now())
        return _show({"id": ended.id, "revoked_at": ended.revoked_at}, as_json, [f"key {ended.id} is revoked"])
    made, text = create_key(workspace / "keys.json", name, tuple(scope or ("read", "score")), _now(), days)
    if made.expires_at is None:
        progress.note(f"key {made.id} has no end: give --days, or end it with `expansion key --revoke {made.id}`.")
    _show({"key": text, "id": made.id, "scopes": list(made.scopes)}, as_json, [text])


@app.command()
def leads(
    workspace: Root = HERE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 10,
    as_json: Json = False,
) -> None:
    """The first leads of the current release, each with the release it stands in."""
    from serving import leads, release
    from serving.schemas import LeadQuery
    from serving.terminal import lead_lines

    live = release.open_current(workspace / "releases")
    source, head = _source(live)
    items = [item | source for item in leads.find(live, LeadQuery(limit=limit)).items]
    _show(items, as_json, [head, *(line for item in items for line in lead_lines(item))])


@app.command()
def send(
    to: Annotated[str, typer.Option("--to", help="https://..., which takes POST")],
    workspace: Root = HERE,
    whole: Annotated[bool, typer.Option("--all", help="every account, whatever was sent")] = False,
    as_json: Json = False,
) -> None:
    """Leads to a webhook, signed with EXPANSION_SEND_SECRET: those that differ from what was sent, and who is gone."""
    from serving import release
    from serving.send import SECRET, Webhook
    from serving.send import send as run
    from serving.terminal import sent_lines

    webhook = Webhook(to, os.environ.get(SECRET, ""), _now)
    live = release.open_current(_workspace(workspace).releases)
    said = run(live, workspace, _source(live)[0], webhook, whole)
    _show(said, as_json, sent_lines(said))


@app.command()
def plan(
    workspace: Root = HERE,
    capacity: Annotated[int | None, typer.Option("--capacity", min=1, help="calls; absent: the release's")] = None,
    lots: Annotated[float | None, typer.Option("--lots", min=0, max=0.5, help="share; absent: score.lots")] = None,
    params: Params = None,
    as_json: Json = False,
) -> None:
    """Whom to call this week, a few of them by lot, so that it can be told what calling brings; drawn once a week."""
    from functools import partial

    from serving import exports, release
    from serving.batch import ScoreParams
    from serving.plan import plan_week
    from serving.terminal import plan_lines
    from warehouse.lock import exclusive
    from warehouse.params import section, workspace_params

    share = section(workspace_params(workspace, params), "score", ScoreParams).lots if lots is None else lots
    with exclusive(workspace, "plan"):
        live = release.open_current(workspace / "releases")
        tell = partial(exports.tell, workspace, _now(), exports.COMMAND_LINE, "touches", live.name)
        said = plan_week(live, workspace, capacity or live.run["capacity"], share, tell)
    _show(said, as_json, plan_lines(said, workspace / "plans", capacity))


@app.command()
def explain(
    account: str,
    workspace: Root = HERE,
    what_if: Annotated[bool, typer.Option("--what-if", help="also what the model would say if it did more")] = False,
    as_json: Json = False,
) -> None:
    """One account of the current release: probabilities by horizon, money, stage, every reason, and why it moved."""
    from serving import leads, release, whatif
    from serving.terminal import change_lines, lead_lines, stage_lines, what_if_lines
    from warehouse.errors import UsageError

    live = release.open_current(workspace / "releases")
    found = leads.account(live, account)
    if found is None:
        raise UsageError(f'account "{account}" is not in the current release. Ids are exact; see `expansion leads`.')
    said = whatif.what_if(live, workspace / "warehouse", account) if what_if else None
    asked = {"what_if": said} if what_if else {}
    source, head = _source(live)
    lines = [head, *lead_lines(found), *stage_lines(found), *change_lines(found), *what_if_lines(said)]
    _show(found | source | asked, as_json, lines)


@app.command()
def replay(
    account: str,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD")],
    workspace: Root = HERE,
    as_json: Json = False,
) -> None:
    """Score one account as of a past day, and hold it against that night's release, by whose bundle it is scored, or by
    the live one where none is kept."""
    from serving.replay import replay as run
    from serving.terminal import replay_lines
    from warehouse.periods import parse_day

    said = run(_workspace(workspace), account, parse_day(as_of), _now().date())
    _show(said, as_json, replay_lines(said))


@app.command()
def realised(workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """Compare what past releases promised with what happened, for horizons that have passed."""
    from serving.kept import first_of_months
    from training.realised import realised as run
    from training.realised_report import write_report
    from warehouse.lock import exclusive
    from warehouse.params import workspace_params

    space = _workspace(workspace)
    with exclusive(space.root, "realised"):
        said = run(space, workspace_params(space.root, params), *first_of_months(space.releases))
        lines = write_report(said, space.artifacts)
    _show(said, as_json, lines)


@app.command()
def prune(
    workspace: Root = HERE,
    apply: Annotated[bool, typer.Option("--apply", help="remove them; absent: only list them")] = False,
    as_json: Json = False,
) -> None:
    """Old releases that nothing reads any more, and on demand their removal."""
    from serving.kept import remove, spare
    from warehouse.lock import exclusive

    with exclusive(workspace, "prune"):
        found = spare(workspace / "releases")
        size = sum(file.stat().st_size for folder in found for file in folder.rglob("*") if file.is_file())
        for folder in found if apply else ():
            remove(folder)
    names = [folder.name for folder in found]
    line = f"{len(names)} releases, {size / 1e6:,.0f} MB, {'removed' if apply else 'would be removed: add --apply'}"
    _show({"releases": names, "bytes": size, "removed": apply}, as_json, [*names, line])


@app.command()
def erase(
    account: Annotated[str | None, typer.Option("--account", help="id of an account")] = None,
    user: Annotated[str | None, typer.Option("--user", help="id of a user, as delivered")] = None,
    workspace: Root = HERE,
    apply: Annotated[bool, typer.Option("--apply", help="erase; absent: only list what would go")] = False,
    as_json: Json = False,
) -> None:
    """Where an account or a user is found in the workspace and, on demand, its end there, for later deliveries too."""
    from serving.erase import erase as run
    from serving.erase import lines
    from warehouse.errors import UsageError
    from warehouse.lock import exclusive
    from warehouse.params import workspace_params

    asked = [(kind, value) for kind, value in (("account", account), ("user", user)) if value]
    if len(asked) != 1 or not workspace.is_dir():
        raise UsageError("give --workspace of a vendor, and either --account or --user.")
    with exclusive(workspace, "erase"):
        said = run(_workspace(workspace), *asked[0], workspace_params(workspace, None), _now(), apply)
    _show(said, as_json, lines(said))


@app.command()
def incentives(
    workspace: Root = HERE,
    as_of: Annotated[str | None, typer.Option("--as-of", help="YYYY-MM-DD; absent: of the live release")] = None,
    by: Annotated[str | None, typer.Option("--by", help="owner, channel, country, industry, cohort, account")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="with --by account: whose accounts")] = None,
    account: Annotated[str | None, typer.Option("--account", help="with --by account: id of one")] = None,
    params: Params = None,
    as_json: Json = False,
) -> None:
    """Six sales measures by quarter: sign-ups, user base, adoption, consumption, revenue growth, lifetime value."""
    from serving.incentives import incentives as run
    from serving.terminal import table_lines

    rows = run(*_as_of_asked(workspace, params, as_of), by, owner, account)
    _show(rows, as_json, table_lines(rows))


@app.command()
def journey(
    account_id: Annotated[str | None, typer.Argument(help="id of an account; absent: all accounts")] = None,
    workspace: Root = HERE,
    as_of: Annotated[str | None, typer.Option("--as-of", help="YYYY-MM-DD; absent: of the live release")] = None,
    by: Annotated[str | None, typer.Option("--by", help="owner, channel, country, industry, cohort")] = None,
    params: Params = None,
    as_json: Json = False,
) -> None:
    """The stage at the end of each quarter since sign-up: of one account with why, or how many accounts in each."""
    from serving.journey import journey as run
    from serving.journey import quarters_of
    from serving.terminal import quarter_lines, table_lines
    from warehouse.errors import UsageError

    asked = _as_of_asked(workspace, params, as_of)
    if account_id is not None:
        if by is not None:
            raise UsageError("--by tells all accounts apart. Leave it out, or the account.")
        quarters = quarters_of(*asked, account_id)
        if quarters is None:
            raise UsageError(f'no account "{account_id}" had signed up before {asked[-1]}, or it is internal.')
        _show(quarters, as_json, quarter_lines(quarters))
        return
    said = run(*asked, by)
    lines = [*table_lines(said["by_quarter"], 12), "", "where they stood a quarter later, by stage:"]
    _show(said, as_json, [*lines, *table_lines(said["onward"], 12)])


@app.command()
def doctor(workspace: Root = HERE, as_json: Json = False) -> None:
    """What is live, registered and in the warehouse, verified file by file; its drift; how the nights ended."""
    from dataclasses import asdict

    from models import registry
    from models.manifest import verify
    from serving import release, status
    from serving.terminal import drift_lines
    from training.champion import champion_of
    from warehouse import progress
    from warehouse.manifest import refuse_changed

    space = _workspace(workspace)
    nights = status.read(space.root)
    if nights.state == "failed":  # said first: what follows may itself be refused
        progress.note("; ".join(nights.lines()))
    live = release.open_current(space.releases)
    blocked = _blocked(space)
    champion = champion_of(space)  # refused where the ledger that named one is lost
    if champion is not None:
        release.load_scorer(champion[0])  # refused if damaged, or made for other features than ours
    said = {
        "release": {"name": live.name, "method": live.card["method"], "bundle": live.scorer.bundle_id},
        "as_of": f"{live.as_of}, {(_now().date() - live.as_of).days} days ago; facts to {live.run.get('data_end')}",
        "aliases": registry.aliases(space),
        "champion_is_live": champion is not None and verify(champion[0]) == live.scorer.bundle_id,
    }
    whole = refuse_changed(space.warehouse, every=True)
    said["data_status"] = status.data_status(live.run)
    said |= {name: days for name in ("missing_days", "thin_days") if (days := live.run.get(name))}
    said["warehouse"] = "nothing to hold it against" if whole is None else f"{whole:,} files as ingest wrote them"
    drift = live.run.get("drift")
    lines = [f"{name}: {value}" for name, value in said.items()] + drift_lines(drift) + nights.lines()
    said |= {"drift": drift, "night": {"state": nights.state, **asdict(nights)}, "blocked": blocked}
    _show(said, as_json, lines + [f"blocked: {why}" for why in blocked])
    raise typer.Exit(5 if blocked else 0)


def _blocked(space: Workspace) -> list[str]:
    """What the next night, or the service, would stumble over though what is live is whole: a sentence each."""
    from serving.keys import list_keys
    from warehouse.errors import ExpansionError
    from warehouse.params import workspace_params

    found = []
    checks: tuple[Callable[[], object], ...] = (
        lambda: _refuse_wrong(workspace_params(space.root, None)),
        lambda: list_keys(space.root / "keys.json"),
    )
    for check in checks:
        try:
            check()
        except ExpansionError as error:
            found.append(str(error))
    if not space.warehouse.is_dir():
        found.append(f"{space.warehouse} is not there: deliver again, `expansion score --raw DIR`.")
    return found


@app.command()
def demo(workspace: Root = HERE, params: Params = None, as_json: Json = False) -> None:
    """A simulated vendor end to end: raw tables to a live release, the ten best leads, and how to open the page."""
    from serving.keys import create_key
    from serving.status import night
    from serving.terminal import how_to_open
    from simulator import simulate as market
    from warehouse.lock import exclusive
    from warehouse.params import read_params, section

    space = _workspace(workspace)
    document = read_params(params or Path(__file__).parent / "params.yaml")
    with exclusive(space.root, "demo"):
        market.simulate(space.root / "simulated", section(document, "simulate", market.SimulateParams), force=True)
        said = _train(space.root / "simulated", space, document)
    released = night(space.root, None, _now, lambda: _score(None, space, document, None, None, force=True))
    _, text = create_key(space.root / "keys.json", "demo", ("read", "score"), _now(), days=30)
    leads(workspace, 10, as_json)
    judged = ["", said["headline"], f"grade: {said['grade']['word']}. {said['registered']}"]
    judged += how_to_open(workspace, text, released["release"], released["as_of"])
    print(*judged, sep="\n", file=sys.stderr if as_json else sys.stdout)


def _train(raw: Path | None, space: Workspace, document: dict[str, Any], if_matured: bool = False) -> dict[str, Any]:
    from models.registry import code_commit
    from training.pipeline import train_and_register
    from training.retrain import nothing_new
    from warehouse.params import KEPT, keep_params

    _refuse_wrong(document)  # also what the night would stumble over is said before the training
    if raw is not None:  # else what was ingested last stands
        _ingest(raw, space, document)
    if if_matured and (why := nothing_new(space, document)) is not None:
        return {"trained": False, "why": why}
    said = {"trained": True, **train_and_register(space, document, code_commit(), _now, raw)}
    if said["promoted"] or not (space.root / KEPT).exists():
        keep_params(space.root, document)
    return said


def _refuse_wrong(document: dict[str, Any]) -> None:
    """Raises ParamsError for what training, or a night, would stumble over in the params."""
    from serving.batch import ScoreParams
    from training.pipeline import refuse_wrong
    from warehouse.params import section

    refuse_wrong(document)
    section(document, "score", ScoreParams)


def _ingest(
    raw: Path, space: Workspace, document: dict[str, Any], whole: bool = False, not_before: date | None = None
) -> Accounting:
    from warehouse.ingest import IngestParams, ingest_stage
    from warehouse.params import section

    return ingest_stage(raw, space, section(document, "ingest", IngestParams), _now(), whole, not_before)


def _score(
    raw: Path | None,
    space: Workspace,
    document: dict[str, Any],
    day: date | None,
    bundle: Path | None,
    force: bool,
    master: str | None = None,
) -> dict[str, Any]:
    from models.registry import code_commit
    from serving.night import data_end_of, publish
    from training.champion import champion_of

    if raw is not None:  # else what was ingested last stands
        _ingest(raw, space, document, not_before=None if force else data_end_of(space.releases))
    given = None if bundle is None else (bundle, {"grade": None, "headline": None})

    def champion() -> tuple[Path, dict[str, Any]] | None:
        return given or champion_of(space)

    return publish(space, document, day, champion, code_commit(), _now().date(), force, master)


def _day(text: str | None) -> date | None:
    """The day asked for; null only if none was: an empty text, as an empty shell variable gives, is refused."""
    from warehouse.periods import parse_day

    return None if text is None else parse_day(text)


def _master(engine: str, master: str) -> str | None:
    """The Spark master to use; null for this machine's own engine."""
    from warehouse.errors import UsageError

    if engine not in ("duckdb", "spark"):
        raise UsageError(f'there is no engine "{engine}". Give --engine duckdb or --engine spark.')
    return master if engine == "spark" else None


def _refuse_folder(option: str, file: Path) -> None:
    from warehouse.errors import UsageError

    if file.is_dir():
        raise UsageError(f"{option} {file} is a folder. Give the file to write.")


def _workspace(root: Path) -> Workspace:
    from warehouse.store import Workspace

    return Workspace(root)


def _as_of_asked(workspace: Path, params: Path | None, as_of: str | None) -> tuple[Workspace, Definitions, date]:
    """What the books are read by, and the day asked for; without one that of the live release."""
    from features.catalogue import Definitions
    from features.snapshots import refuse_unopened
    from serving.incentives import day_told
    from warehouse.params import workspace_params

    space, document, asked = _workspace(workspace), workspace_params(workspace, params), _day(as_of)
    if asked is not None:
        refuse_unopened(asked, _now().date())
    return space, Definitions.from_params(document), asked or day_told(space, document)


def _source(live: Release) -> tuple[dict[str, Any], str]:
    """Which release answers, as the API says it, and a line of the same; stale by the setting of the service."""
    from serving.settings import read_settings
    from serving.source import known_until, source_of
    from serving.terminal import source_line

    now = _now()
    source = source_of(live, now, read_settings().stale_after_hours)
    return source, source_line(source, known_until(live), now.date())


def _show(document: Any, as_json: bool, lines: list[str]) -> None:
    print(json.dumps(document, indent=1, default=str, ensure_ascii=False) if as_json else "\n".join(lines))


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    """Runs the verb and turns every error meant for people into its message and exit code."""
    # OpenMP threads that spin while they wait starve every other process; LightGBM reads this when it is first loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.umask(0o027)  # what a vendor's facts and scores are written to is no business of other users
    try:
        raise SystemExit(app(standalone_mode=False) or 0)  # a verb that ends with typer.Exit gives its code back
    except Exception as error:
        from warehouse.errors import as_document, exit_code, in_words

        if (code := exit_code(error)) is None:
            raise
        if "--json" in sys.argv[1:]:
            _show(as_document(error, code), True, [])
        print(in_words(error), file=sys.stderr)
        raise SystemExit(code) from error


if __name__ == "__main__":
    main()
