"""The bundle: features in, scores out. Text and JSON files under one manifest; nothing is unpickled, nothing is run.

    bundle/ card.json definitions.json encoding.json golden.json peers.json model.json
            expansion.0.lgb.txt expansion.1.lgb.txt ... high_value.0.lgb.txt ... churn.0.lgb.txt amount.lgb.txt
            manifest.json (written last)

Which hazard serves is said by `learner` of the card, see docs/glossary.md. A rule bundle
(`method` "rule") has no model: it serves where there are too few expansions to learn from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from features.catalogue import Definitions, fingerprint
from features.journey import LOOKED_AT
from models.baselines import FALLBACK_RULE, rule_score
from models.calibration import Calibration
from models.encoding import Encoding
from models.errors import BundleOutdated
from models.files import amount_from_json, boosters_of, hazard_from_json
from models.golden import golden
from models.hazard import Hazard, chance, incidence
from models.increment import Amount
from models.manifest import seal, verify
from models.peers import Peers, age_band, band_means, medians, peers_of, sample
from models.reasons import Explanation, Part, tell
from models.trees import to_text
from warehouse.periods import TARGETS

FORMAT = 3  # of model.json; another one where it is told otherwise, or means something else
AMOUNTS = ("amount_low", "amount_high")  # told of the default horizon, and by horizon
BY_HORIZON = ("probability", "high_value", "churn", "increment", *AMOUNTS)
YOUNG_DAYS = 7  # below this age a score is marked low in confidence


@dataclass(frozen=True)
class Scorer:
    """A model or a rule that turns feature rows into scores. `card`: what people and services read of it (see
    docs/architecture.md). `calibration`: of the hazards of a target; absent, they are taken as they are."""

    card: dict[str, Any]
    definitions: Definitions
    encoding: Encoding
    peers: Peers
    hazards: dict[str, Hazard] = field(default_factory=dict)
    amount: Amount = Amount(None, 1.0, 1.0, 1.0)  # noqa: RUF009 - frozen
    calibration: dict[str, Calibration] = field(default_factory=dict)
    bundle_id: str = ""

    @property
    def horizons(self) -> tuple[int, ...]:
        return tuple(self.card["horizons"])

    @property
    def explained(self) -> Part:
        """What reasons explain: the log-odds of expanding in interval REASON_INTERVAL, before calibration."""
        return self.hazards["expansion"]

    def beside(self, training: pa.Table) -> Scorer:
        """The same scorer with peers of the snapshots it was trained on, with whom its reasons compare."""
        training = training.filter(pa.array(peers_of(training)))
        bands = age_band(training)
        rows = sample(bands)
        matrix = self.encoding.matrix(training.take(pa.array(rows)))
        means = band_means(self.explained.contributions(matrix), bands[rows])
        peers = Peers(
            medians(training),
            np.array(means).T.tolist(),
            [float(mean) for mean in band_means(self.explained.raw(matrix), bands[rows])],
        )
        return replace(self, peers=peers)

    @property
    def boosters(self) -> dict[str, lgb.Booster]:
        """Every booster by the name of its file; empty for a rule."""
        named = {
            f"{name}.{number}": booster
            for name, hazard in self.hazards.items()
            for number, booster in enumerate(boosters_of(hazard))
        }
        return named | ({"amount": self.amount.booster} if self.amount.booster is not None else {})

    def explain(self, features: pa.Table) -> Explanation | None:
        """Log-odds and contributions of each row; null for a rule, which has neither."""
        if self.card["method"] == "rule":
            return None
        matrix = self.encoding.matrix(features)
        contributions = self.explained.contributions(matrix)
        centred = self.peers.centre(contributions, age_band(features))
        return Explanation(self.explained.raw(matrix), contributions, centred)

    def score(self, features: pa.Table, explanation: Explanation | None = None) -> pa.Table:
        """One row an account (columns: docs/architecture.md, "Scores"), in the order of `features`.

        `explanation` is what `explain` says of these features, for a caller who has it already.

        Probabilities and expected increments are null for a rule, and at or above the target tier. Expected increments
        are money in [as_of, as_of + h). `score` is never null: higher means call first.
        """
        tiers = self.definitions.tiers
        tier = np.asarray(features["tier"].to_numpy(zero_copy_only=False)).astype(int)
        names = [step.name for step in tiers.ladder] + [None]
        tenure = np.asarray(features["tenure_days"].to_numpy(zero_copy_only=False)).astype(np.int32)
        seen = np.asarray(features["events_life"]) + np.asarray(features["invoices_life"])
        columns: dict[str, Any] = {
            "account_id": features["account_id"],
            "as_of": features["as_of"],
            "method": pa.array([self.card["method"]] * len(tier), pa.string()),
            "tier": pa.array([names[t] for t in tier], pa.string()),
            "next_tier": pa.array([names[t + 1] for t in tier], pa.string()),
            "run_rate": features["run_rate"],
            "stage": features["stage"],
            "tenure_days": pa.array(tenure),
            "confidence": np.where((tenure < YOUNG_DAYS) | (seen == 0), "low", "ok"),
        }
        explanation = explanation or self.explain(features)
        columns |= {name: features[name] for name in LOOKED_AT if name not in columns}  # for the evidence of the stage
        columns |= self._predictions(features, tier, explanation)
        return pa.table(columns)

    def _predictions(self, features: pa.Table, tier: np.ndarray, explanation: Explanation | None) -> dict[str, Any]:
        n, horizons = len(tier), self.horizons
        if explanation is None:
            empty = pa.nulls(n, pa.float64())
            names = [f"{what}_{h}" for h in horizons for what in BY_HORIZON]
            score = rule_score(features)
            return {"score": score, **dict.fromkeys([*names, *AMOUNTS], empty)} | {
                "reasons": pa.array(_rule_reasons(features), pa.string())
            }
        matrix = self.encoding.matrix(features)
        amount = self.amount.by_horizon(matrix, horizons)
        predicted = self.predict(matrix, amount=amount)
        ladder = self.definitions.tiers
        top, high = tier >= len(ladder.ladder) - 1, tier >= ladder.high_value_index
        default = self.card["default_horizon"]
        ranges = self._ranges(amount, top)
        columns: dict[str, Any] = {
            "score": np.where(top, 0.0, predicted[f"increment_{default}"]),
            "amount_low": ranges[f"amount_low_{default}"],
            "amount_high": ranges[f"amount_high_{default}"],
            **ranges,
        }
        for h in horizons:
            columns[f"probability_{h}"] = pa.array(predicted[f"expansion_{h}"], mask=top)
            columns[f"high_value_{h}"] = pa.array(predicted[f"high_value_{h}"], mask=high)
            columns[f"churn_{h}"] = pa.array(predicted[f"churn_{h}"])
            columns[f"increment_{h}"] = pa.array(predicted[f"increment_{h}"], mask=top)
        told = np.array(tell(explanation.centred, features, self.peers, ladder.currency), dtype=object)
        told[top] = "[]"  # there is nothing to speak for or against
        columns["reasons"] = pa.array(told, pa.string())
        return columns

    def _ranges(self, amounts: Mapping[int, np.ndarray], top: np.ndarray) -> dict[str, pa.Array]:
        """amount_low_{h} and amount_high_{h}, each (n,) money; null at the top. Not part of `predict`, whose answers
        are sealed in every bundle: one more would refuse those that are made already."""
        out = {}
        for h, amount in amounts.items():
            out[f"amount_low_{h}"] = pa.array(amount * self.amount.low, mask=top)
            out[f"amount_high_{h}"] = pa.array(amount * self.amount.high, mask=top)
        return out

    def predict(
        self,
        matrix: np.ndarray,
        told: Mapping[str, np.ndarray] | None = None,
        amount: Mapping[int, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """expansion_{h}, high_value_{h}, churn_{h} (probabilities) and increment_{h} (expected money), each (n,).
        `told`: log-odds of the hazards of both targets, and `amount`: money by horizon of a move, where they have been
        asked about `matrix` already."""
        if told is None:
            told = {target: self.hazards[target].log_odds(matrix) for target in TARGETS}
        ladder, tier = self.definitions.tiers, matrix[:, self.encoding.names.index("tier")]
        top = tier >= len(ladder.ladder) - 1  # there is nowhere to move, so nothing comes before closing
        out: dict[str, np.ndarray] = {}
        churn = chance(self.hazards["churn"].log_odds(matrix))
        for target in reversed(TARGETS):  # churn is told beside expansion, the last
            log_odds = self.calibration.get(target, Calibration())(told[target])
            hazards = np.where(top[:, None], 0.0, chance(log_odds))
            by_target, by_churn = incidence(hazards, churn, self.horizons)
            for h in self.horizons:
                out[f"{target}_{h}"] = by_target[h]
                out[f"churn_{h}"] = by_churn[h]
        same = tier == ladder.high_value_index - 1  # the next tier is the high-value one
        amount = self.amount.by_horizon(matrix, self.horizons) if amount is None else amount
        for h in self.horizons:
            # who reaches the high-value tier has passed the next one, so it cannot be the likelier of the two
            least = np.minimum(out[f"high_value_{h}"], out[f"expansion_{h}"])
            out[f"high_value_{h}"] = np.where(same, out[f"expansion_{h}"], least)
            out[f"increment_{h}"] = out[f"expansion_{h}"] * amount[h]
        return out

    def save(self, folder: Path) -> str:
        """Writes the bundle into the empty or absent `folder`; returns its id."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, booster in self.boosters.items():
            (folder / f"{name}.lgb.txt").write_text(to_text(booster), encoding="utf-8")
        model = {
            "format": FORMAT,
            "hazards": {name: hazard.to_json() for name, hazard in self.hazards.items()},
            "calibration": {name: found.to_json() for name, found in self.calibration.items()},
            "amount": self.amount.to_json(),
        }
        parts = {
            "card": self.card,
            "definitions": self.definitions.to_params(),
            "encoding": self.encoding.to_json(),
            "golden": golden(self),
            "peers": self.peers.to_json(),
            "model": model,
        }
        for name, said in parts.items():
            text = json.dumps(said, indent=1, sort_keys=True, allow_nan=False)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
        return seal(folder)

    @classmethod
    def load(cls, folder: Path) -> Scorer:
        """Verifies, then parses.

        Raises:
            BundleRefused: a file is missing, extra, changed or a link.
            BundleOutdated: the bundle was made for other features, or by a version that told models otherwise.
        """
        bundle_id = verify(folder)

        def read(name: str) -> Any:
            return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

        said = {name: read(name) for name in ("card", "definitions", "encoding")}
        definitions = Definitions.from_params(said["definitions"])
        made_for, here = said["card"]["fingerprint"], fingerprint(definitions)
        if made_for != here:
            raise BundleOutdated(
                f"{folder}: bundle was made for features {made_for[:12]}, this version computes {here[:12]}. "
                "Retrain, or run the version that made it."
            )
        model = read("model")
        if (written := model.get("format")) != FORMAT:
            raise BundleOutdated(
                f"{folder}: model.json is of format {written or 'none'}, this version reads {FORMAT}. Train again, or "
                "run the version that made it."
            )
        boosters = {p.name.removesuffix(".lgb.txt"): lgb.Booster(model_file=str(p)) for p in folder.glob("*.lgb.txt")}
        return cls(
            card=said["card"],
            definitions=definitions,
            encoding=Encoding.from_json(said["encoding"]),
            peers=Peers(**read("peers")),
            hazards={name: hazard_from_json(text, name, boosters) for name, text in model["hazards"].items()},
            amount=amount_from_json(model["amount"], boosters),
            calibration={name: Calibration(**found) for name, found in model["calibration"].items()},
            bundle_id=bundle_id,
        )


def rule_scorer(definitions: Definitions, horizons: tuple[int, ...], default_horizon: int, why: str) -> Scorer:
    """The labelled fallback: ranks by recent activity, gives no probability and says why."""
    card = {
        "method": "rule",
        "rule": FALLBACK_RULE,
        "grade": "rule",
        "headline": f"Ranked by rule (active days in the last 28): {why}",
        "trained_as_of": None,
        "horizons": list(horizons),
        "default_horizon": default_horizon,
        "tiers": [tier.model_dump() for tier in definitions.tiers.ladder],
        "currency": definitions.tiers.currency,
        "fingerprint": fingerprint(definitions),
        "data_fingerprint": None,
    }
    return Scorer(card, definitions, Encoding((), {}), Peers())


def _rule_reasons(features: pa.Table) -> list[str]:
    days = features["active_days_28d"].to_pylist()
    return [
        json.dumps(
            [
                {
                    "text": f"active on {value:.0f} of the last 28 days (rule, not a model)",
                    "feature": "active_days_28d",
                    "family": "depth",
                    "direction": "up" if value > 0 else "down",
                    "value": value,
                    "peer": None,
                    "share": 1.0,
                }
            ]
        )
        for value in days
    ]
