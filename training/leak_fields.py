"""Probe of the fields of an account that have no date: is one known mostly of the accounts that expand?

Such a field stands in every snapshot of an account as told at sign-up. Of a first delivery that is the vendor's word
alone: of a size that was looked up once an account had paid, whether it is known tells who paid, and no fact bent by
the other probes shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.catalogue import FEATURE_NAMES
from training.leak_labels import FEWEST, noted
from training.probe import Probe, not_asked
from warehouse.raw import TABLES

SURE = 4.0  # standard errors below which a difference may be luck: four fields are asked in every training


@dataclass(frozen=True)
class Known:
    """Of how many of the accounts that expand, and of the others, a field is known; `errors`: standard errors that the
    difference has where it is known by chance. Both shares are told at equal sign-ups."""

    expanding: float
    others: float
    errors: float

    @property
    def auc(self) -> float:
        """ROC-AUC of whether the field is known, in its better direction."""
        return 0.5 + abs(self.expanding - self.others) / 2


def undated_fields() -> list[str]:
    """The features that are columns of a raw table told once, without a date of their own."""
    return [name for table in TABLES.values() for name in table.told_once if name in FEATURE_NAMES]


def filled_in_later(features: pa.Table, label: np.ndarray, bound: float, accepted: Mapping[str, str]) -> Probe:
    """Whether an undated field is known may not tell who expands, among accounts of one quarter of sign-up: a field
    collected since some day is known of the young ones, and these have had less time to expand. One row an account,
    which counts as expanding if it did after any of its snapshots: snapshots of one account repeat one answer.

    Args:
        features: account_id, as_of and features, (n,). label: (n,) 0/1.
    """
    account = np.unique(features["account_id"].to_numpy(), return_inverse=True)[1]
    first = np.unique(account, return_index=True)[1]
    expands = np.bincount(account, label) > 0
    quarter = _quarter(features)[first]
    told = {name: np.asarray(features[name].is_valid())[first] for name in undated_fields()}
    if (fewest := _comparable(expands, quarter)) < FEWEST:
        why = f"{fewest} accounts that expand, or others, can be compared at one quarter of sign-up"
        return not_asked("filled_in_later", f"{why}, {FEWEST} of both kinds are needed")
    if all(known.all() or not known.any() for known in told.values()):
        sentence = f"{', '.join(told)}: each is known for all accounts or for none, which tells nothing of who expands."
        return Probe("filled_in_later", True, 0.5, bound, sentence)
    known = {name: compared(told[name], expands, quarter) for name in told}
    # a difference that may be luck does not fail, however large
    values = {name: one.auc if one.errors > SURE else min(one.auc, bound) for name, one in known.items()}

    def said(name: str) -> str:
        one = known[name]
        return (
            f"{name} is known for {one.expanding:.0%} of the accounts that expand and {one.others:.0%} of the others "
            f"of the same quarter of sign-up (ROC-AUC {one.auc:.3f}, {one.errors:.1f} standard errors; {SURE:.0f} may "
            "be luck). What was filled in after the deal must be delivered as told at sign-up or left out; above"
        )

    return noted("filled_in_later", values, bound, accepted, said)


def compared(known: np.ndarray, expands: np.ndarray, stratum: np.ndarray) -> Known:
    """Mantel and Haenszel's difference of two shares, each stratum weighing P N / (P + N), and its standard error where
    `known` is dealt at random within strata (Journal of the National Cancer Institute 22, 1959).

    Args:
        known, expands: (n,) bool, one row an account, both kinds in some stratum. stratum: (n,) of anything.
    """
    group = np.unique(stratum, return_inverse=True)[1]
    p, n, p_known, n_known = (
        np.bincount(group, which).astype(float) for which in (expands, ~expands, expands & known, ~expands & known)
    )
    both = (p > 0) & (n > 0)
    p, n, p_known, n_known = p[both], n[both], p_known[both], n_known[both]
    total, total_known = p + n, p_known + n_known
    weight = p * n / total
    one, other = (float((weight * share).sum() / weight.sum()) for share in (p_known / p, n_known / n))
    variance = float((weight * total_known * (total - total_known) / (total * (total - 1))).sum())
    excess = abs(float((weight * (p_known / p - n_known / n)).sum()))
    return Known(one, other, excess / variance**0.5 if variance else 0.0)


def _comparable(expands: np.ndarray, stratum: np.ndarray) -> int:
    """Of the accounts that expand and of the others, in strata that hold both, the fewer."""
    group = np.unique(stratum, return_inverse=True)[1]
    p, n = np.bincount(group, expands), np.bincount(group, ~expands)
    both = (p > 0) & (n > 0)
    return int(min(p[both].sum(), n[both].sum()))


def _quarter(features: pa.Table) -> np.ndarray:
    """(n,) int64 quarter of sign-up, counted from 1970."""
    age = features["tenure_days"].to_numpy().astype("timedelta64[D]")
    signed_up = features["as_of"].to_numpy().astype("datetime64[D]") - age
    return np.asarray(signed_up.astype("datetime64[M]").astype(np.int64) // 3)
