"""The routes: parse by `schemas`, call one function, respond. One error shape for everything.

`create_app` gives the FastAPI app inside its guard; `service.py` hosts it, tests call it without BentoML.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from serving import incentives, journey, journey_schemas, leads, plan_schemas, schemas
from serving.conditional import Conditional
from serving.desk import WEB, AtDesk, Desk, Live
from serving.errors import ApiError, HistoryMoved, KeysRefused, PlanDamaged, as_answer, first_problem
from serving.exports import filters_of
from serving.guard import COOKIE, INTERNAL, Guard, address_of
from serving.histories import ScoreRequest
from serving.history import history
from serving.keys import KeyRing, list_keys
from serving.limits import Limits
from serving.metrics import CONTENT_TYPE, Metrics
from serving.pages import add_pages
from serving.plan import slots_of, this_week, week_of
from serving.release import Release, open_release
from serving.score_request import score_accounts
from serving.settings import Settings
from serving.watcher import ReleaseWatcher
from serving.whatif import what_if

AccountQuery = Annotated[schemas.AccountQuery, Query()]
CODES = {400: "bad_json", 404: "not_found", 405: "method_not_allowed", 422: "invalid_request"}
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The caller holds this answer: If-None-Match"}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": schemas.Problem} for code in (400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503)
}


@dataclass(frozen=True)
class Surface:
    """The FastAPI app, the same app behind its guard, and what stands behind both."""

    app: FastAPI
    guarded: Guard
    desk: Desk


def create_app(
    settings: Settings,
    now: Callable[[], datetime],
    open_folder: Callable[[Path], Release] = open_release,
    limits: Limits | None = None,
    load: bool = True,
) -> Surface:
    """The whole HTTP surface over the releases of the workspace. `now` gives the present time in UTC. `limits` null:
    those of the settings. `load`: whether the live release is opened at once.

    Raises:
        KeysRefused: other machines could reach the service without a key.
    """
    refuse_open_door(settings, now)
    watcher = ReleaseWatcher(settings.workspace / "releases", settings.reload_seconds, open_folder, load)
    metrics = Metrics(watcher, settings.metrics_folder is not None, settings.workspace)
    limits = limits or Limits(settings.requests_per_minute)
    desk = Desk(settings, now, watcher, KeyRing(settings.keys_file, now), limits, metrics)
    app = FastAPI(
        title="Expansion propensity",
        version="1",
        summary="Which small accounts will grow, by when, by how much, and why",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a path with a slash too many is no path of ours
        responses=PROBLEMS,
    )
    app.state.desk = desk
    _add_error_handlers(app)
    _add_routes(app)
    add_pages(app)
    app.add_middleware(Conditional)
    app.mount("/static", StaticFiles(directory=WEB / "static"), name="static")
    return Surface(app, Guard(app, settings, desk.keys, limits, metrics.count), desk)


def refuse_open_door(settings: Settings, now: Callable[[], datetime]) -> None:
    """Raises KeysRefused if the service would listen beyond loopback without keys."""
    if settings.loopback or settings.insecure:
        return
    if not settings.auth:
        raise KeysRefused(
            f"host {settings.host} is open to other machines: EXPANSION_AUTH may be off on loopback only."
        )
    if not any(key.live(now()) for key in list_keys(settings.keys_file)):
        raise KeysRefused(
            f"host {settings.host} needs a key first: {settings.keys_file} holds none. Run `expansion key`."
        )


def _add_routes(app: FastAPI) -> None:
    scores: dict[str, Any] = {"responses": UNCHANGED, "tags": ["scores"]}
    model, measures = scores | {"tags": ["model"]}, scores | {"tags": ["measures"]}
    app.get("/v1/leads", response_model=schemas.LeadsAnswer, **scores)(list_leads)
    # what ends in a word of ours comes before the route that ends in a path
    app.get("/v1/accounts/{account_id:path}/what-if", response_model=schemas.WhatIfAnswer, **scores)(one_what_if)
    app.get("/v1/accounts/{account_id:path}/history", response_model=schemas.HistoryAnswer, **scores)(one_history)
    app.get("/v1/accounts/{account_id:path}/journey", response_model=journey_schemas.AccountJourney, **scores)(
        one_journey
    )
    app.get("/v1/accounts/{account_id:path}", response_model=schemas.AccountAnswer, **scores)(one_account)
    app.get("/v1/plan", response_model=plan_schemas.PlanAnswer, **scores)(plan)
    app.get("/v1/model", response_model=schemas.ModelAnswer, **model)(the_model)
    app.get("/v1/incentives", response_model=schemas.IncentivesAnswer, **measures)(the_measures)
    app.get("/v1/journey", response_model=journey_schemas.JourneyAnswer, **measures)(the_journey)
    app.post("/v1/score", response_model=schemas.ScoreAnswer, tags=["scores"])(score_histories)
    app.get("/livez", tags=["operations"])(alive)
    app.get("/healthz", include_in_schema=False)(alive)
    app.get("/readyz", response_model=schemas.Readiness, tags=["operations"])(ready)
    for path, probe in (("/livez", alive), ("/healthz", alive), ("/readyz", ready)):
        app.head(path, include_in_schema=False)(probe)
    app.get("/metrics", response_class=Response, tags=["operations"])(count)
    app.get("/openapi.json", include_in_schema=False)(contract)
    app.post("/session", include_in_schema=False)(sign_in)
    app.post("/session/end", include_in_schema=False)(sign_out)


def list_leads(query: Annotated[schemas.LeadQuery, Query()], request: Request, release: Live, desk: AtDesk) -> Response:
    """Accounts in the order to call them, filtered and paged; format=csv gives all that match as one file."""
    if query.format == "csv":
        one = query.model_copy(update={"cursor": None, "limit": 1})
        rows = leads.find(release, one).total  # what is asked wrong is refused here, before the first byte is out
        slots = slots_of(desk.settings.workspace / "plans", week_of(release.as_of))
        desk.tell_export(request.state.caller, "leads", release, rows, filters_of(query))
        headers = {"Content-Disposition": f'attachment; filename="leads-{release.as_of}.csv"'}
        return StreamingResponse(
            leads.export_csv(release, query, slots, desk.source(release)),
            media_type="text/csv; charset=utf-8",
            headers=headers,
        )
    page = leads.find(release, query)
    horizon = leads.horizon_of(release, query.horizon)
    about = {**desk.source(release), "sort": query.sort, "horizon": horizon, "total": page.total}
    return JSONResponse({**about, "items": page.items, "next_cursor": page.next_cursor})


def plan(query: Annotated[plan_schemas.PlanQuery, Query()], release: Live, desk: AtDesk) -> Response:
    """Whom a team of that capacity would call this week, and what that is expected to bring."""
    said = this_week(release, desk.settings.workspace / "plans", query.capacity)
    return JSONResponse({**said, **desk.source(release)})


def one_what_if(account_id: str, query: AccountQuery, release: Live, desk: AtDesk) -> Response:
    """What the model would say of an account had it done lately what a quarter of its peers do: no promise."""
    named_so = leads.account(release, f"{account_id}/what-if", query.horizon)
    found = named_so or what_if(release, desk.settings.workspace / "warehouse", account_id, query.horizon)
    return _of_one(found, release, desk)


def one_history(account_id: str, query: AccountQuery, release: Live, desk: AtDesk) -> Response:
    """What earlier nights said of an account, and tonight."""
    named_so = leads.account(release, f"{account_id}/history", query.horizon)
    return _of_one(named_so or history(release, account_id, query.horizon), release, desk)


def one_journey(account_id: str, query: AccountQuery, release: Live, desk: AtDesk) -> Response:
    """Where an account stood at the end of each of its quarters."""
    named_so = leads.account(release, f"{account_id}/journey", query.horizon)
    if named_so is None and leads.account(release, account_id, query.horizon) is not None:
        quarters = journey.quarters_beside(release, desk.settings.workspace, account_id)
        named_so = {"account_id": account_id, "quarters": quarters or []}
    return _of_one(named_so, release, desk)


async def one_account(account_id: str, query: AccountQuery, release: Live, desk: AtDesk) -> Response:
    """All that the live release says about one account."""
    return _of_one(leads.account(release, account_id, query.horizon), release, desk)


def _of_one(found: dict[str, Any] | None, release: Release, desk: Desk) -> Response:
    """The answer about one account; of one that the release does not hold, 404. Ids are exact, also one that ends like
    a route: what is told of it there is `named_so`."""
    if found is None:
        raise ApiError(404, "unknown_account", "The live release holds no such account.", "account_id")
    return JSONResponse({**found, **desk.source(release)})


def score_histories(request: ScoreRequest, release: Live, desk: AtDesk) -> Response:
    """Scores up to 100 accounts from their raw history, through the features and the model of the live release."""
    as_of = request.as_of or release.as_of
    items = score_accounts(release, request.accounts, as_of, desk.now())
    of_the_night = ("stale", "data_status")  # of data that the caller's accounts are not made of
    about = {name: value for name, value in desk.source(release).items() if name not in of_the_night}
    return JSONResponse({**about, "as_of": as_of.isoformat(), "items": items})


async def the_model(release: Live, desk: AtDesk) -> Response:
    """The card of the bundle that answers, and the counts of the night."""
    names = ("method", "accounts", "bands", "band_floors")
    card = {name: release.card[name] for name in ("horizons", "default_horizon", "currency")}
    run = {name: release.run[name] for name in names}
    judged = {name: release.run.get(name) for name in ("grade", "headline", "realised")}
    return JSONResponse({**desk.source(release), **run, **card, **judged, "card": release.card})


def the_measures(query: Annotated[schemas.IncentivesQuery, Query()], release: Live, desk: AtDesk) -> Response:
    """Sign-ups, user base, adoption, consumption, incremental revenue and lifetime value, by calendar quarter."""
    items = incentives.of_release(release, desk.settings.workspace, query)
    about = {"by": query.by, "currency": release.card["currency"], **desk.source(release)}
    return JSONResponse({**about, "as_of": (query.as_of or release.as_of).isoformat(), "items": items})


def the_journey(query: Annotated[journey_schemas.JourneyQuery, Query()], release: Live, desk: AtDesk) -> Response:
    """Where accounts stood at the end of their first, second, third quarter, and what came next."""
    found = journey.of_release(release, desk.settings.workspace, query.by)
    return JSONResponse({"by": query.by, **desk.source(release), **found})


async def alive() -> Response:
    """The process runs."""
    return JSONResponse({"alive": True})


async def ready(request: Request, desk: AtDesk) -> Response:
    """200 once a release answers, else 503; which one, and why not a newer one, for callers with a key."""
    release = desk.watcher.get()
    status = 503 if release is None else 200
    if request.state.caller is None:
        return JSONResponse({"ready": release is not None}, status)
    none = dict.fromkeys(("release", "bundle_id", "version", "as_of", "stale", "data_status", "data_end"))
    about = none if release is None else {**desk.source(release), "data_end": release.run.get("data_end")}
    return JSONResponse({"ready": release is not None, **about, "last_reload_error": desk.watcher.error}, status)


def count(desk: AtDesk) -> Response:
    """Prometheus text."""
    return Response(desk.metrics.render(), headers={"content-type": CONTENT_TYPE})


def contract(request: Request) -> Response:
    return JSONResponse(request.app.openapi())


async def sign_in(body: schemas.SignIn, request: Request, desk: AtDesk) -> Response:
    """Turns a key into a cookie for the pages: signed, short, read only. The key itself is not stored."""
    key = desk.keys.find(body.key.strip())
    if key is None or not key.grants("read"):
        desk.limits.wrong_key(address_of(request.scope))
        raise ApiError(401, "unauthorized", "This key is not valid here.")
    answer = JSONResponse({"signed_in": True})
    answer.set_cookie(
        COOKIE,
        desk.keys.open_session(key, desk.settings.session_hours),
        max_age=int(desk.settings.session_hours * 3600),
        httponly=True,
        samesite="strict",
        secure=not desk.settings.loopback and not desk.settings.insecure,
    )
    return answer


async def sign_out() -> Response:
    answer = JSONResponse({"signed_in": False})
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _add_error_handlers(app: FastAPI) -> None:
    def answer(request: Request, error: ApiError, headers: Any = None) -> JSONResponse:
        return JSONResponse(error.body(request.state.request_id), error.status, headers=headers)

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        wait = None if error.retry_after is None else {"retry-after": str(error.retry_after)}
        return answer(request, error, wait)

    async def moved(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HistoryMoved | PlanDamaged)
        return answer(request, as_answer(error))

    async def plain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = CODES.get(error.status_code, "error")
        return answer(request, ApiError(error.status_code, code, f"{error.detail}."), error.headers)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer(request, first_problem(error.errors()))

    async def broken(request: Request, _: Exception) -> JSONResponse:
        return answer(request, INTERNAL)

    app.add_exception_handler(Exception, broken)
    app.add_exception_handler(ApiError, refused)
    app.add_exception_handler(HistoryMoved, moved)
    app.add_exception_handler(PlanDamaged, moved)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(RequestValidationError, invalid)
