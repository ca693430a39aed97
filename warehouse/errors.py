"""Every error the warehouse raises, and the exit code each one means.

ExpansionError (5, a fault outside us)
├── UsageError (2)      the caller asked for something that does not exist
│   └── ParamsError     params file: unknown key, wrong value
├── DataError (3)       the data broke its contract
│   └── ContractBroken  a raw table is refused; nothing live was touched
├── GateRefused (4)     a model or a release is not good enough to go live
└── Locked (6)          another run holds the workspace
"""

from __future__ import annotations


class ExpansionError(Exception):
    """Root of all errors with a message meant for the person at the terminal."""

    exit_code = 5


class UsageError(ExpansionError):
    exit_code = 2


OUTSIDE = ("duckdb", "_duckdb", "sqlalchemy", "mlflow")  # a damaged file or ledger, a full disk: faults outside us


def exit_code(error: Exception) -> int | None:
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
    """One sentence a broken rule: file, column, count of rows, first lines, rule, remedy."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class GateRefused(ExpansionError):
    exit_code = 4


class Locked(ExpansionError):
    exit_code = 6
