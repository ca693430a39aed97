"""Parts of the rows as a matrix: what each part holds of a column, in any number of samples, is one product."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from training.ranking import Floats, Indices, Ranking


def equal_mass(score: Floats, bins: int) -> csr_matrix:
    """(bins, n) the share of each row that falls in each of `bins` bins of equal mass, highest score first: 1 in one
    bin and 0 in the others, but for a run of equal `score` (n,) that straddles an edge, which is divided in
    proportion."""
    n, ranking = len(score), Ranking.of(score)
    ends = ranking.ends + 1
    starts = np.append(0, ends)[:-1]
    edges = n * np.arange(bins + 1) / bins
    shares, rows = [], []
    for low, high in pairwise(edges):
        runs = slice(np.searchsorted(ends, low, side="right"), np.searchsorted(starts, high, side="left"))
        begin, end = starts[runs], ends[runs]
        held = np.minimum(end, high) - np.maximum(begin, low)
        shares.append(np.repeat(held / (end - begin), end - begin))
        rows.append(ranking.order[begin[0] : end[-1]] if len(begin) else ranking.order[:0])
    return _matrix(shares, rows, n)


def whole(parts: Sequence[Indices], n: int) -> csr_matrix:
    """(parts, n) 1 where the row is one of the part's."""
    return _matrix([np.ones(len(part)) for part in parts], parts, n)


def sums(parts: csr_matrix, weight: Floats | None) -> Floats:
    """(parts,) or (parts, samples): what each part sums to in each sample of `weight`, see `training.metrics`."""
    out: Floats = np.asarray(parts.sum(axis=1)).ravel() if weight is None else parts @ weight
    return out


def _matrix(shares: Sequence[Floats], rows: Sequence[Indices], n: int) -> csr_matrix:
    bounds = np.cumsum([0, *(len(part) for part in rows)])
    return csr_matrix((np.concatenate(shares), np.concatenate(rows), bounds), (len(rows), n))
