"""Every error of the training room, and the exit code each one means.

ExpansionError
├── DataError (3)
│   ├── TooFewPositives     not enough expansions to learn from or to judge by
│   ├── HeldOutBroken       heldout.parquet or train.json breaks its contract
│   └── TruthBroken         the simulator's truth breaks its contract, or is not that of the held-out rows
├── UsageError (2)
│   └── NothingToPromote    there is no challenger, or no release of the model to go back to
├── GateRefused (4)
│   └── PromotionRefused    the challenger failed the gate; no alias was moved
├── LedgerLost (5)          the ledger names no champion, though the audit tells of one
└── PlanBroken (5)          a training label ends after the first test score: a fault of ours, never of the data
"""

from __future__ import annotations

from typing import Any

from warehouse.errors import DataError, ExpansionError, GateRefused, UsageError


class TooFewPositives(DataError):
    pass


class HeldOutBroken(DataError):
    """`rule`: which file, where, what is wrong and what is allowed. The remedy is always the same."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"{rule} Run the train stage of this version again.")


class TruthBroken(DataError):
    pass


class NothingToPromote(UsageError):
    pass


class LedgerLost(ExpansionError):
    pass


class PlanBroken(ExpansionError):
    pass


class PromotionRefused(GateRefused):
    """`verdict`: the refused verdict as JSON, each rule with its figures."""

    def __init__(self, message: str, verdict: dict[str, Any]) -> None:
        self.verdict = verdict
        super().__init__(message)
