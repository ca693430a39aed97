"""Freezes what a small set of models answers: `python -m tests.golden.freeze` rewrites tests/golden/frozen/.

Run it only when an answer was meant to change, and say in CHANGELOG.md by how much. The rows and models know nothing of
the catalogue, so new features leave them alone: what is frozen is the arithmetic between raw scores and figures.
"""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm as lgb
import numpy as np

from models.boosted import Boosted, fit_boosted
from models.boosting import BoosterParams
from models.calibration import Calibration
from models.files import amount_from_json
from models.hazard import EDGES, NEVER, Hazard, chance, incidence, person_periods
from models.increment import Amount, fit_amount
from models.logistic import LogisticHazard, fit_logistic_hazard

FROZEN = Path(__file__).parent / "frozen"
HORIZONS = (90, 180, 270, 360)
SHIFT = 0.2
PARAMS = BoosterParams(rounds=6, num_leaves=5, learning_rate=0.3, lambda_l2=10, feature_fraction=0.7, seeds=1)


def rows(n: int = 12) -> np.ndarray:
    """Two numbers with gaps and one category of three levels, without a generator: the same for ever."""
    number = np.arange(n, dtype=float)
    matrix = np.column_stack([(number * 7) % 11, (number * number) % 5 - 2, number % 4])
    matrix[::5, 0], matrix[3::4, 2] = np.nan, np.nan
    return matrix


def answers(expand: Hazard, churn: Hazard, ridge: Hazard, amount: Amount) -> dict[str, list[float]]:
    matrix = rows()
    hazards = chance(Calibration(c=SHIFT)(expand.log_odds(matrix)))
    by_expand, by_churn = incidence(hazards, chance(churn.log_odds(matrix)), HORIZONS)
    said = {"ridge": ridge.log_odds(matrix)[:, 0].tolist()}
    for h in HORIZONS:
        said[f"expansion_{h}"] = by_expand[h].tolist()
        said[f"churn_{h}"] = by_churn[h].tolist()
        said[f"amount_{h}"] = amount.expected(matrix, h).tolist()
    said["first_reason"] = expand.contributions(matrix)[:, 0].tolist()
    return said


def thawed() -> tuple[Hazard, Hazard, Hazard, Amount, dict[str, list[float]]]:
    """The frozen models and what they answered when they were frozen."""
    said = json.loads((FROZEN / "answers.json").read_text())
    boosters = {path.name.split(".")[0]: lgb.Booster(model_file=str(path)) for path in FROZEN.glob("*.lgb.txt")}
    expand, churn = (Boosted((boosters[name],), said["bases"][name]) for name in ("expansion", "churn"))
    amount = amount_from_json(said["amount"], boosters)
    return expand, churn, LogisticHazard.from_json(said["ridge"]), amount, said["answers"]


def main() -> None:
    rng = np.random.default_rng(20261123)
    n = 3_000
    matrix = np.column_stack([rng.integers(0, 11, n), rng.integers(-2, 3, n), rng.integers(0, 3, n)]).astype(float)
    matrix[rng.random((n, 3)) < 0.1] = np.nan
    event = rng.exponential(1 / (0.0005 * (1 + np.nan_to_num(matrix[:, 0])))).astype(np.int64)
    other = rng.exponential(600, n).astype(np.int64)
    grown = (event <= other) & (event < 400)
    event, other = np.where(grown, event, NEVER), np.where(~grown & (other < 400), other, NEVER)
    names, observed = ["number", "signed", "level"], np.full(n, EDGES[-1])
    taught = person_periods(event, other, observed)
    expand = fit_boosted(matrix, taught, PARAMS, 1, names, [2]).hazard
    churn = fit_boosted(matrix, person_periods(other, event, observed), PARAMS, 1, names, [2]).hazard
    ridge = fit_logistic_hazard(matrix, taught, [2]).hazard
    gains = {h: (np.flatnonzero(event < h), h * rng.lognormal(0, 1, int((event < h).sum()))) for h in HORIZONS}
    amount = fit_amount(matrix, gains, PARAMS, 1, names, [2])
    FROZEN.mkdir(exist_ok=True)
    assert isinstance(expand, Boosted)
    assert isinstance(churn, Boosted)
    assert amount.booster is not None
    models = {"expansion": expand.boosters[0], "churn": churn.boosters[0], "amount": amount.booster}
    for name, booster in models.items():
        booster.save_model(str(FROZEN / f"{name}.lgb.txt"))
    said = {
        "bases": {"expansion": expand.base, "churn": churn.base},
        "ridge": ridge.to_json(),
        "amount": amount.to_json(),
        "answers": answers(expand, churn, ridge, amount),
    }
    (FROZEN / "answers.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
