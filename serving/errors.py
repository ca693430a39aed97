"""Every error the serving room raises.

ExpansionError (warehouse.errors)
├── NotDelivered (5)     leads that were sent were refused, or not taken
├── GateRefused (4)
│   └── ReleaseRefused   a release is damaged, incomplete, older than the live one, or holds a score that is no number
├── DataError (3)
│   ├── NothingToScore   no account to score; the live release stays
│   ├── HistoryMoved     the warehouse is not, or no longer, that of the live release
│   └── PlanDamaged      the week's plan cannot be read, so it is unknown whom a lot leaves alone
└── UsageError (2)
    ├── NoRelease        nothing has been published yet, or there is nothing to go back to
    └── KeysRefused      the key file is readable by others, a key is unknown, or keys are missing where needed

ApiError is no ExpansionError: it is an answer to one request, not the end of a run.
"""

from __future__ import annotations

from typing import Any

from warehouse.errors import DataError, ExpansionError, GateRefused, UsageError


class NotDelivered(ExpansionError):
    pass


class ReleaseRefused(GateRefused):
    pass


class NothingToScore(DataError):
    pass


class HistoryMoved(DataError):
    pass


class PlanDamaged(DataError):
    pass


class NoRelease(UsageError):
    pass


class KeysRefused(UsageError):
    pass


class ApiError(Exception):
    """One refused request: HTTP `status`, a stable machine `code`, a sentence, the request field it is about, and of
    one that came too early the seconds to wait."""

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, retry_after: int | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.retry_after = retry_after
        super().__init__(message)

    def body(self, request_id: str) -> dict[str, str]:
        """The one error shape of the API; `field` is there only when the error is about one."""
        named = {} if self.field is None else {"field": self.field}
        return {"code": self.code, "message": self.message, **named, "request_id": request_id}


def as_answer(error: HistoryMoved | PlanDamaged) -> ApiError:
    said = str(error)
    if isinstance(error, PlanDamaged):
        return ApiError(409, "plan_damaged", said)
    return ApiError(409, "history_moved", f"{said[0].upper()}{said[1:]}")


def first_problem(errors: Any) -> ApiError:
    """The first validation error as ours: its place without "body" or "query", never the value that was sent."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return ApiError(400, "bad_json", "The body is not valid JSON.")
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    named = f"{place}: " if first["type"] == "missing" else ""  # what is not there is nowhere else to be seen
    return ApiError(422, "invalid_request", f"{named}{first['msg']}{more}.", place or None)
