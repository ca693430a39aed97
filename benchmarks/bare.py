"""The honest floor of the service: a bare Starlette app that does the same work through the product's own functions.

`python -m benchmarks.bare --workspace DIR --port N`: three routes over the live release, answered by uvicorn, which
takes uvloop and httptools where they are installed. There are no keys, limits, counts, checks of hosts and bodies, tags
or headers of safety, no BentoML and no FastAPI: who wrote a service of three routes in an afternoon would have this.
What waits for DuckDB runs in a thread; a page of leads does not, which is the faster way with nothing else to answer.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving import leads
from serving.histories import ScoreRequest
from serving.release import Release, open_current
from serving.schemas import LeadQuery
from serving.score_request import score_accounts
from serving.source import source_of

STALE_HOURS = 36.0


def bare_app(release: Release, now: Callable[[], datetime]) -> Starlette:
    """Answers with the same JSON as the service."""

    def source() -> dict[str, object]:
        return source_of(release, now(), STALE_HOURS)

    async def alive(_: Request) -> Response:
        return JSONResponse({"ready": True})

    async def account(request: Request) -> Response:
        found = leads.account(release, request.path_params["account_id"], None)
        return Response(status_code=404) if found is None else JSONResponse({**found, **source()})

    async def listed(request: Request) -> Response:
        query = LeadQuery.model_validate(dict(request.query_params))
        page = leads.find(release, query)
        horizon = leads.horizon_of(release, query.horizon)
        about = {**source(), "sort": query.sort, "horizon": horizon, "total": page.total}
        return JSONResponse({**about, "items": page.items, "next_cursor": page.next_cursor})

    async def score(request: Request) -> Response:
        asked = ScoreRequest.model_validate_json(await request.body())
        as_of = asked.as_of or release.as_of
        items = await run_in_threadpool(score_accounts, release, asked.accounts, as_of, now())
        about = {name: value for name, value in source().items() if name != "stale"}
        return JSONResponse({**about, "as_of": as_of.isoformat(), "items": items})

    return Starlette(
        routes=[
            Route("/readyz", alive),
            Route("/v1/leads", listed),
            Route("/v1/accounts/{account_id:path}", account),
            Route("/v1/score", score, methods=["POST"]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    app = bare_app(open_current(asked.workspace / "releases"), lambda: datetime.now(UTC))
    uvicorn.run(app, host="127.0.0.1", port=asked.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
