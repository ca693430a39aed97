"""The web pages, rendered on the server: the ranked leads, the week's calls, one account, the journey, the measures,
the API in words, and the sign-in."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from features.journey import STAGES
from serving import incentives, journey, leads
from serving.desk import WEB, AtDesk, Desk
from serving.errors import ApiError, HistoryMoved, PlanDamaged, as_answer, first_problem
from serving.history import history
from serving.journey_schemas import JourneyQuery
from serving.plan import left_alone, slots_of, this_week, week_of
from serving.plan_schemas import PlanQuery
from serving.release import Release
from serving.schemas import IncentivesQuery, LeadQuery
from serving.whatif import ACTIONS, what_if

PAGE_LIMIT = 25
ABSENT = {  # why nothing is told of what moved a score, by `why_changed_absent`; of the top tier the page says enough
    "first_release": "This is the first release, so there is nothing to compare with.",
    "new_account": "It was not in the release before.",
    "rule": "One of the two releases was made by a rule, which cannot be taken apart.",
    "not_kept": "The release before kept nothing to compare with.",
}
TITLES = {action.name: action.title for action in ACTIONS}  # of what-if actions
CONTACT_DAYS = 90  # a contact further back is not told in a list
WIDE, HIGH, EDGE = 600, 120, 8  # of the chart of an account's past, in its own units
SORTS = {"score": "who to call first", "expected_increment": "expected extra revenue", "probability": "probability"}


def add_pages(app: FastAPI) -> None:
    app.get("/", include_in_schema=False)(leads_page)
    app.get("/accounts/{account_id:path}", include_in_schema=False)(account_page)
    app.get("/plan", include_in_schema=False)(plan_page)
    app.get("/journey", include_in_schema=False)(journey_page)
    app.get("/measures", include_in_schema=False)(measures_page)
    app.get("/docs", include_in_schema=False)(docs_page)


def leads_page(request: Request, desk: AtDesk) -> Response:
    """The leads; every filter, the order and the place in the list stand in the URL."""
    release = _live_or_instead(request, desk)
    if isinstance(release, Response):
        return release
    asked = {name: value for name, value in request.query_params.items() if value.strip()}  # a form sends blanks
    asked |= {"q": asked["q"].strip()} if "q" in asked else {}
    problem, found = None, leads.Page([], 0, None)
    try:
        query = LeadQuery.model_validate({"limit": PAGE_LIMIT, **asked})
        found = leads.find(release, query)
    except ValidationError as error:
        problem = first_problem(error.errors())
    except ApiError as error:
        problem = error
    waiting, plan_damaged = _left_alone(desk, release)
    status = 200 if problem is None else problem.status
    chosen = {name: value for name, value in asked.items() if name in LeadQuery.model_fields}
    filters = {name: value for name, value in chosen.items() if name not in ("cursor", "format", "limit")}
    return _page(
        "leads.html",
        desk,
        release,
        status=status,
        problem=problem,
        page=found,
        left_alone=waiting,
        plan_damaged=plan_damaged,
        asked=filters,
        facets=leads.facets(release),
        sorts=SORTS,
        horizon=int(found.items[0]["horizon"]) if found.items else release.card["default_horizon"],
        first=not chosen.get("cursor"),
        next_link="/?" + urlencode({**chosen, "cursor": found.next_cursor or ""}),
        start_link="/?" + urlencode(filters),
        csv_link="/v1/leads?" + urlencode({**filters, "format": "csv"}),
    )


def account_page(account_id: str, request: Request, desk: AtDesk) -> Response:
    """One account: by horizon, money, stage, tier and every reason. what-if=1 in the URL asks for the what-if too, and
    history=1 for what earlier nights said and where it stood quarter by quarter."""
    release = _live_or_instead(request, desk)
    if isinstance(release, Response):
        return release
    found = leads.account(release, account_id)
    if found is None:
        return _page("unknown.html", desk, release, status=404, account_id=account_id)
    asked: dict[str, Any] = {
        "what_if": None,
        "what_if_refused": None,
        "history": None,
        "quarters": None,
        "quarters_refused": None,
    }
    if request.query_params.get("history"):
        asked["history"] = history(release, account_id)
        try:
            asked["quarters"] = journey.quarters_beside(release, desk.settings.workspace, account_id)
        except HistoryMoved as moved:  # what the releases kept is told nevertheless
            asked["quarters_refused"] = moved
    if request.query_params.get("what-if"):
        try:
            asked["what_if"] = what_if(release, desk.settings.workspace / "warehouse", account_id)
        except HistoryMoved as moved:
            asked["what_if_refused"] = moved
    return _page("account.html", desk, release, item=found, absent=ABSENT, actions=TITLES, **asked)


def plan_page(request: Request, desk: AtDesk) -> Response:
    """Whom to call this week; capacity=N in the URL asks what another number of calls would meet."""
    release = _live_or_instead(request, desk)
    if isinstance(release, Response):
        return release
    asked, said, problem = request.query_params.get("capacity", "").strip(), None, None
    try:
        query = PlanQuery.model_validate({"capacity": asked or None})
        said = this_week(release, desk.settings.workspace / "plans", query.capacity)
    except ValidationError as error:
        problem = first_problem(error.errors())
    except PlanDamaged as damaged:
        problem = as_answer(damaged)
    status = 200 if problem is None else problem.status
    return _page("plan.html", desk, release, status=status, asked=asked, said=said, problem=problem)


def measures_page(request: Request, desk: AtDesk) -> Response:
    """The six measures by quarter; by=owner in the URL tells them apart by owner, and likewise the other groups."""
    release = _live_or_instead(request, desk)
    if isinstance(release, Response):
        return release
    by, rows, problem = request.query_params.get("by") or None, [], None
    try:
        rows = incentives.of_release(release, desk.settings.workspace, IncentivesQuery.model_validate({"by": by}))
    except ValidationError as error:
        problem = first_problem(error.errors())
    except ApiError as error:
        problem = error
    except HistoryMoved as moved:
        problem = as_answer(moved)
    status = 200 if problem is None else problem.status
    told = {"rows": rows, "by": by, "groups": incentives.GROUPS, "problem": problem}
    return _page("measures.html", desk, release, status=status, **told)


def journey_page(request: Request, desk: AtDesk) -> Response:
    """Where accounts stood at the end of their quarters; by=channel in the URL tells them apart, and likewise the other
    groups."""
    release = _live_or_instead(request, desk)
    if isinstance(release, Response):
        return release
    by, said, problem = request.query_params.get("by") or None, None, None
    try:
        said = journey.of_release(release, desk.settings.workspace, JourneyQuery.model_validate({"by": by}).by)
    except ValidationError as error:
        problem = first_problem(error.errors())
    except HistoryMoved as moved:
        problem = as_answer(moved)
    status = 200 if problem is None else problem.status
    told = {"said": said, "by": by, "groups": incentives.GROUPS, "stages": STAGES, "problem": problem}
    return _page("journey.html", desk, release, status=status, **told)


def _live_or_instead(request: Request, desk: Desk) -> Release | Response:
    """The release to show; the page that stands in its place for who has not signed in, and before the first one."""
    if request.state.caller is None:
        return _page("sign_in.html", desk, None)
    return desk.watcher.get() or _page("empty.html", desk, None, status=503)


def _left_alone(desk: Desk, release: Release) -> tuple[set[str], PlanDamaged | None]:
    """Accounts that this week's lot leaves alone, or why they are unknown."""
    try:
        return left_alone(slots_of(desk.settings.workspace / "plans", week_of(release.as_of))), None
    except PlanDamaged as damaged:
        return set(), damaged


def docs_page(request: Request, desk: AtDesk) -> Response:
    """The API in words, from its own OpenAPI document; nothing is fetched from elsewhere."""
    if request.state.caller is None:
        return _page("sign_in.html", desk, None)
    return _page("docs.html", desk, None, contract=request.app.openapi())


def in_words(probability: float | None) -> str:
    """A probability as people say it: 0.19 is "about 1 in 5"."""
    if probability is None:
        return "no estimate"
    if probability >= 0.95:
        return "almost certain"
    if probability >= 0.35:
        return f"about {round(10 * probability)} in 10"
    if probability < 0.005:
        return "under 1 in 200"
    return f"about 1 in {round(1 / probability)}"


def percent(probability: float | None) -> str:
    if probability is None:
        return "–"  # noqa: RUF001
    return f"{100 * probability:.0f} %" if probability >= 0.1 else f"{100 * probability:.1f} %"


def money(amount: float | None, currency: str) -> str:
    """Whole units with commas between thousands, for reading; the API has the digits."""
    if amount is None:
        return "–"  # noqa: RUF001
    sign = "−" if round(amount) < 0 else ""  # noqa: RUF001
    return f"{sign}{currency} {abs(round(amount)):,}"


def ordinal(number: int) -> str:
    """1 as "1st"."""
    last = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def contacted(day: str | None, as_of: str) -> str:
    """How long before as_of an account was contacted, in words; empty: never, or more than CONTACT_DAYS before."""
    days = CONTACT_DAYS + 1 if day is None else (date.fromisoformat(as_of) - date.fromisoformat(day)).days
    return "" if days > CONTACT_DAYS else f"contacted {days} day{'s' * (days != 1)} ago"


def chart(nights: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The probabilities of `nights` as a line WIDE by HIGH, by date, from 0 to `top`; null with fewer than two."""
    told = [(date.fromisoformat(n["as_of"]).toordinal(), n["probability"]) for n in nights]
    told = [(day, chance) for day, chance in told if chance is not None]
    if len(told) < 2:
        return None
    first, last = told[0][0], told[-1][0]
    top = max(max(chance for _, chance in told), 0.01)
    points = [
        (EDGE + (WIDE - 2 * EDGE) * (day - first) / (last - first), HIGH - EDGE - (HIGH - 2 * EDGE) * chance / top)
        for day, chance in told
    ]
    return {"points": [(round(x, 1), round(y, 1)) for x, y in points], "top": top, "wide": WIDE, "high": HIGH}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "in_words": in_words,
        "percent": percent,
        "money": money,
        "chart": chart,
        "contacted": contacted,
        "ordinal": ordinal,
        "path": lambda t: quote(t, safe=""),
    }
    return environment


ENVIRONMENT = _environment()


def _page(template: str, desk: Desk, release: Release | None, status: int = 200, **values: Any) -> HTMLResponse:
    about: dict[str, Any] = {"release": release, "auth": desk.settings.auth}
    if release is not None:
        about |= {"source": desk.source(release), "run": release.run, "card": release.card}
    return HTMLResponse(ENVIRONMENT.get_template(template).render(**about, **values), status)
