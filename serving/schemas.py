"""The HTTP contract: what each route takes and gives. Requests are closed: an unknown field is an error.

Money is in `currency`. Probabilities lie in [0, 1] and are null where there is nothing to predict: at the top tier, or
when the release was made by a rule. Dates are UTC; as_of is the midnight that opens the scoring day.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from features.journey import STAGES

WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}")


def _as_written(value: Any) -> Any:
    if isinstance(value, date) or (isinstance(value, str) and WRITTEN.fullmatch(value)):
        return value
    raise ValueError("give a day as YYYY-MM-DD")  # a number would be read as seconds since 1970


Day = Annotated[date, BeforeValidator(_as_written)]
NO_NULL = r"^[^\x00]*$"
Text = Annotated[str, Field(min_length=1, max_length=2_000, pattern=NO_NULL)]
Band = Literal["A", "B", "C", "D"]
DataStatus = Literal["ok", "partial"]
Stage = Literal[STAGES]  # type: ignore[valid-type]
ContactKind = Literal["contacted", "random"]
ActionName = Literal["invite_users", "switch_on_specialist", "finish_setup"]  # of the what-if


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LeadQuery(Closed):
    """Filters are joined by "and". `q` is a part of an account id; `changed_since` means band, tier or stage moved."""

    sort: Literal["score", "expected_increment", "probability"] = "score"
    horizon: int | None = None
    band: Band | None = None
    tier: Text | None = None
    stage: Stage | None = None
    owner: Text | None = None
    channel: Text | None = None
    country: Text | None = None
    min_increment: FiniteFloat | None = None
    q: Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NULL)] | None = None
    changed_since: Day | None = None
    limit: int = Field(50, ge=1, le=200)
    cursor: Annotated[str, Field(max_length=4000)] | None = None
    format: Literal["json", "csv"] = "json"


class AccountQuery(Closed):
    """`horizon` in days, one of the bundle's; absent: its default."""

    horizon: int | None = None


class Problem(Closed):
    """Every error, whatever its status. `field` names the part of the request it is about."""

    code: str
    message: str
    field: str | None = None
    request_id: str


class Reason(Closed):
    """One family of features, in the words of the feature that weighs most in it. `direction`: it raises or lowers the
    log-odds of expanding beside those of peers. `value`, `peer`: of the feature, and its median over the peers; null:
    not known, and for a category. `share`: of the summed sizes of all families, in [0, 1]."""

    text: str
    feature: str
    family: str
    direction: Literal["up", "down"]
    value: float | str | None
    peer: float | None
    share: float


class Horizon(Closed):
    """Within `days` from as_of: probability of expansion, of the high-value tier, of leaving; money expected;
    amount_low and amount_high: 10 and 90 % of the increment if it expands. Releases of versions that told this range of
    the default horizon alone have null for the others."""

    days: int
    probability: float | None
    high_value: float | None
    churn: float | None
    expected_increment: float | None
    amount_low: float | None
    amount_high: float | None


class Scored(Closed):
    """What the model says of one account. probability, expected_increment, amount_low and amount_high are those of
    `horizon`."""

    account_id: str
    as_of: date
    method: Literal["model", "rule"]
    score: float
    band: Band | None
    percentile: float
    tier: str
    next_tier: str | None
    run_rate: float
    stage: str
    tenure_days: int
    amount_low: float | None
    amount_high: float | None
    confidence: Literal["ok", "low"]
    horizon: int
    probability: float | None
    expected_increment: float | None
    currency: str
    horizons: list[Horizon]
    reasons: list[Reason]


class Lead(Scored):
    """One account of the release: rank 1 of `accounts` is called first; percentile is the share ranked below, in %.
    `stage_since`: the day from which it has stood in its stage, as far as is known. `stalled`: in trial, commitment or
    uptake for more than score.stalled_days. Both null where the release does not know since when. `last_contact`: the
    last day before as_of on which it was contacted, as sales chose (`contacted`) or by lot (`random`); null: never, or
    a release of a version that did not tell. No score looks at it."""

    rank: int
    accounts: int
    owner: str | None
    channel: str | None
    country: str | None
    industry: str | None
    changed_on: date
    stage_since: date | None
    stalled: bool | None
    last_contact: date | None
    last_contact_kind: ContactKind | None
    previous_band: Band | None
    previous_tier: str | None
    previous_stage: str | None
    previous_rank: int | None


class Source(Closed):
    """Which release answers: its name, its bundle, the bundle's short name (`version`, the first 12 characters of
    `bundle_id`, as in `release` and on the page), its day, whether that day, or the end of the facts it was made from,
    is too long ago, and whether days of the last 28 lack their events, or most of them (`partial`)."""

    release: str
    bundle_id: str
    version: str
    as_of: date
    stale: bool
    data_status: DataStatus


class LeadsAnswer(Source):
    sort: str
    horizon: int
    total: int
    items: list[Lead]
    next_cursor: str | None


class Change(Closed):
    """What one family of features, "new model" or the "rest" added to the log-odds since the earlier release."""

    family: str
    change: float
    text: str


class WhyChanged(Closed):
    """Against the release of `since`: the change of the explained log-odds, which `changes` add up to, and of the
    probability and the expected increment at `horizon` days (null where the account was at the top tier, or the last
    release spoke of another horizon)."""

    since: date
    log_odds: float
    horizon: int
    probability: float | None
    expected_increment: float | None
    changes: list[Change]


class StageEvidence(Closed):
    """Why the account stands in `stage`: what the rule looked at, by feature (`tier` by name), and in words."""

    stage: Stage
    facts: dict[str, float | str | bool | None]
    text: str


class AccountAnswer(Lead, Source):
    """`stage_evidence` is null in a release of a version that kept no such values. `why_changed_absent` says why there
    is no `why_changed`: nothing to compare with, a rule, which has no log-odds, or the top tier, where nothing is left
    to expand to; `not_kept` means that the earlier release was written by a version that kept none, or for other
    features."""

    stage_evidence: StageEvidence | None
    why_changed: WhyChanged | None
    why_changed_absent: Literal["first_release", "new_account", "rule", "not_kept", "top_tier"] | None


class WhatIfAction(Closed):
    """What one action would make the model say. `value`, `peer_p75`: of `feature` tonight, and what a quarter of the
    peers have or exceed; `probability` and `expected_increment` at the answer's horizon, as published, and `_then` of
    the history with the action in it. The label belongs to every number here."""

    action: ActionName
    text: str
    feature: str
    value: float
    peer_p75: float
    probability: float
    probability_then: float
    expected_increment: float
    expected_increment_then: float
    verdict: str
    label: str


class NotOffered(Closed):
    """`done`: the account is at its peers' p75 or above; `peers_do_not`: that is 0; `not_declared`: the vendor declared
    no such event names; `few_peers`: too few to tell; `no_use`: the account has no day of use to put it on."""

    action: ActionName
    reason: Literal["done", "peers_do_not", "not_declared", "few_peers", "no_use"]
    text: str


class WhatIfAnswer(Source):
    """`actions`: the largest gain in expected increment first, one that lowers it as well. `peers`: how many accounts
    of the same age band are in use. `what_if_absent` says why nothing was asked: a rule, which has no probability, the
    top tier, or a release written by a version that kept no values."""

    account_id: str
    horizon: int
    currency: str
    probability: float | None
    expected_increment: float | None
    peers: int | None
    actions: list[WhatIfAction]
    not_offered: list[NotOffered]
    what_if_absent: Literal["rule", "top_tier", "not_kept"] | None


class Night(Closed):
    """What one release said of the account. `probability`, `expected_increment`: at the horizon asked for; null by a
    rule, at the top tier, and where that release did not tell the horizon."""

    as_of: date
    release: str
    bundle_id: str
    method: Literal["model", "rule"]
    rank: int
    percentile: float
    band: Band | None
    tier: str
    next_tier: str | None
    stage: str
    run_rate: float
    score: float
    probability: float | None
    expected_increment: float | None


class NotRead(Closed):
    release: str
    reason: str


class HistoryAnswer(Source):
    """`nights`, oldest first: each of the last 14 that a release is kept of, before those the first of each month, 24
    months back; none on which the account was not scored. `not_read`: releases that are damaged."""

    account_id: str
    horizon: int
    currency: str
    nights: list[Night]
    not_read: list[NotRead]


class IncentivesQuery(Closed):
    """`by` absent: all accounts together. cohort: by the quarter of sign-up. account: each account of the `owner`, or
    the one `account`, which go with it alone. `as_of`: no day after that of the live release, which is meant if
    absent."""

    by: Literal["owner", "channel", "country", "industry", "cohort", "account"] | None = None
    owner: Text | None = None
    account: Text | None = None
    as_of: Day | None = None


class Measures(Closed):
    """One calendar quarter of one group (`group` null: the account does not tell, or all accounts together).
    `complete`: the quarter was over at as_of. `adoption` is null without use, `incremental_revenue` in the first
    quarter, `lifetime_value` while nobody had signed up. Definitions: docs/api.md."""

    quarter: str
    group: str | None = None
    complete: bool
    sign_ups: int
    user_base: int
    adoption: float | None
    consumption: float
    revenue: float
    incremental_revenue: float | None
    lifetime_value: float | None


class IncentivesAnswer(Source):
    """`as_of`: the day of the measures, which an earlier one than that of the release may be asked for."""

    by: str | None
    currency: str
    items: list[Measures]


class ModelAnswer(Source):
    """The card of the bundle and what the nightly run said of itself. `grade` and `headline`: how good the model was
    found to be on held-out accounts; null where the run was given a bundle by hand. `realised`: what came of an earlier
    night, as `expansion realised` had told it by then; null where it had not."""

    method: Literal["model", "rule"]
    accounts: int
    bands: dict[str, int]
    band_floors: dict[str, float]
    horizons: list[int]
    default_horizon: int
    currency: str
    grade: str | None
    headline: str | None
    realised: str | None
    card: dict[str, Any]


class Readiness(Closed):
    """`release` and what follows are null before the first release, and hidden from callers without a key. `data_end`:
    the midnight after the last fact of that night; null of a release written by a version that did not keep it."""

    ready: bool
    release: str | None = None
    as_of: date | None = None
    data_end: date | None = None
    bundle_id: str | None = None
    version: str | None = None
    stale: bool | None = None
    data_status: DataStatus | None = None
    last_reload_error: str | None = None


class ScoredItem(Closed):
    """`status` not_yet_created: the account signs up at or after as_of, so there is nothing to score; not_scored: it
    had closed or is internal, so the night would not score it either."""

    account_id: str
    status: Literal["ok", "not_yet_created", "not_scored"]
    result: Scored | None


class ScoreAnswer(Closed):
    release: str
    bundle_id: str
    version: str
    as_of: date
    items: list[ScoredItem]


class SignIn(Closed):
    key: Annotated[str, Field(max_length=200)]
