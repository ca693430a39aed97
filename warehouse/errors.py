"""Every error the warehouse raises, and the exit code each one means.

ExpansionError (5, a fault outside us)
├── UsageError (2)      the caller asked for something that does not exist
│   └── ParamsError     params file: unknown key, wrong value
├── DataError (3)       the data broke its contract
│   ├── ContractBroken  a raw table is refused; nothing live was touched
│   └── OlderDelivery   the facts end before those of the live release; nothing live was touched
├── GateRefused (4)     a model or a release is not good enough to go live
└── Locked (6)          another run holds the workspace, or somebody the ledger, a small file or a release, for too long
"""

from __future__ import annotations

from errno import EDQUOT, EFBIG, ENOSPC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warehouse.accounting import Accounting


class ExpansionError(Exception):
    """Root of all errors with a message meant for the person at the terminal."""

    exit_code = 5


class UsageError(ExpansionError):
    exit_code = 2


NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large", "database or disk is full")
BUSY = ("database is locked", "database table is locked", "database schema is locked")  # as SQLite says it
LEDGER = ("sqlalchemy", "mlflow")
OUTSIDE = ("duckdb", "_duckdb", "sqlite3", *LEDGER)  # a damaged file or ledger, a full disk: faults outside us


def exit_code(error: BaseException) -> int | None:
    """What the command line ends with; null for an error that nobody foresaw, hence a bug of ours."""
    if isinstance(error, OSError) or type(error).__module__.split(".")[0] in OUTSIDE:
        return 5
    if type(error).__module__.split(".")[0] in ("pydantic", "pydantic_core"):  # a value given on the command line
        return 2
    return getattr(error, "exit_code", None)


class ParamsError(UsageError):
    pass


class DataError(ExpansionError):
    exit_code = 3


class ContractBroken(DataError):
    """One sentence a broken rule: file, column, count of rows, first lines, rule, remedy. `accounting`: of every row;
    null where reading did not come that far."""

    def __init__(self, problems: list[str], accounting: Accounting | None = None) -> None:
        self.problems = problems
        self.accounting = accounting
        super().__init__("\n".join(problems))


class OlderDelivery(DataError):
    pass


class GateRefused(ExpansionError):
    exit_code = 4


class Locked(ExpansionError):
    exit_code = 6


def no_room(error: BaseException) -> bool:
    """Whether an error says that nothing more can be written, by whichever library it comes."""
    return getattr(error, "errno", None) in (ENOSPC, EDQUOT, EFBIG) or any(word in str(error) for word in NO_ROOM)


def is_busy(error: Exception) -> bool:
    """Whether an error says that another process holds a SQLite file, which is whole."""
    return any(word in str(error) for word in BUSY)


def in_words(error: Exception) -> str:
    """What a terminal says of an error: first what became of every row, where that is known."""
    accounting: Accounting | None = getattr(error, "accounting", None)
    counted = [] if accounting is None else accounting.lines()
    words = _message(error)
    return "\n".join([*counted, *([f"error: {words}"] if words else [])])  # without a verb the help has said it all


def as_document(error: Exception, code: int) -> dict[str, Any]:
    """The same for a program, under `error`: exit_code, kind (the class), message, and where they are known problems (a
    sentence each) and accounting; beside it the verdict of a gate that refused."""
    said: dict[str, Any] = {"exit_code": code, "kind": type(error).__name__, "message": _message(error)}
    if isinstance(error, ContractBroken):
        said["problems"] = error.problems
        said["accounting"] = None if error.accounting is None else error.accounting.to_json()
    return {**getattr(error, "verdict", {}), "error": said}


def _message(error: Exception) -> str:
    if no_room(error):
        return f"there is no room left to write ({error}). What was live is untouched. Make room, then run it again."
    if type(error).__module__.split(".")[0] in LEDGER:
        first = str(error).splitlines()[0]
        remedy = "Restore mlflow.db and mlartifacts from the backup; what was live stays."
        return f"the ledger cannot be used ({first}). {remedy}"
    told = getattr(error, "format_message", None)  # of a usage error that the parser of the command line found
    return told() if told else str(error)
