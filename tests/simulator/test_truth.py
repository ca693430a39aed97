"""The ceiling against what came: calibrated, equal to the lives that may be led from what is known, and complete."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path as Folder

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from simulator.accounts import DAY, Accounts, draw_accounts
from simulator.belief import Belief
from simulator.lives import Lives
from simulator.market import HORIZONS, Market
from simulator.outlook import Outlook
from simulator.simulate import SimulateParams, simulate
from simulator.truth import SCORES, Truth, write_values
from simulator.worlds import WORLDS, World, world_of
from tests.simulator.one_state import DAYS, Future, Nothing, Path, calendar, outcomes, taken_back
from tests.simulator.run_rates import HELD, START, day_number, run_rates, tiers

JUNE = date(2025, 6, 1)
DATES = (date(2024, 12, 1), JUNE)
AS_OF, HORIZON = (JUNE - START).days, 180
COPIES = 1_000  # lives led from what is known of an account
GROUPS = 20
KEPT = ("stage", "rate", "before", "stepped_on", "back_on", "billed", "assisted", "looked")


def ece(said: np.ndarray, happened: np.ndarray) -> float:
    """Mean gap between the chance said and the share that came true, over 15 bins of equal mass."""
    bins = np.array_split(np.argsort(said, kind="stable"), 15)
    return sum(abs((said[one] - happened[one]).sum()) for one in bins) / len(said)


def log_loss(said: np.ndarray, happened: np.ndarray) -> np.ndarray:
    return -np.log(np.where(happened, said, 1 - said))


@dataclass
class Known:
    """What was known as of JUNE of the accounts of one block: the state kept by name, their belief and credits."""

    accounts: Accounts
    state: dict[str, np.ndarray]
    weight: np.ndarray
    credits: np.ndarray


@dataclass
class Vendor:
    market: Market
    folder: Folder
    blocks: list[Known]

    def rows(self, as_of: date, horizon: int) -> pa.Table:
        return pq.read_table(self.folder / "truth.parquet", filters=[("as_of", "=", as_of), ("horizon", "=", horizon)])


def vendor(folder: Folder, params: SimulateParams) -> Vendor:
    """A simulated vendor, and what its truth knew as of JUNE."""
    made = Vendor(world_of(params.world).market(), folder / "raw", [])
    truthful = Truth.at

    def spy(self: Truth, as_of: int, belief: Belief, lives: Lives) -> pa.Table:
        if as_of == AS_OF:
            state = {name: getattr(lives, name).copy() for name in KEPT}
            made.blocks.append(Known(self._accounts, state, belief.weight.copy(), lives._credits.copy()))
        return truthful(self, as_of, belief, lives)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Truth, "at", spy)
        simulate(made.folder, params, workers=1)
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    return vendor(tmp_path_factory.mktemp("truth"), SimulateParams(accounts=20_000))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Nine months of a vendor whose accounts step up so often that some are in every tier."""
    folder, market = tmp_path_factory.mktemp("small") / "raw", Market()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WORLDS, "rising", World("for this test", lambda: replace(market, step=market.step * 10)))
        simulate(folder, SimulateParams(world="rising", accounts=400, quarters=3), workers=1)
    return folder


@dataclass
class Judged:
    """Rows of the truth as of DATES together, and what came of them by the raw rows of money alone."""

    told: dict[str, np.ndarray]
    came: dict[str, np.ndarray]

    def pair(self, name: str, prefix: str = "") -> tuple[np.ndarray, np.ndarray]:
        """(said, came) of the accounts at risk."""
        said = self.told[prefix + name]
        risk = ~np.isnan(said)
        return said[risk], self.came[name][risk]


@pytest.fixture(scope="module")
def judged(plain: Vendor) -> Judged:
    rates = run_rates(plain.folder, DAYS)
    accounts = pq.read_table(plain.folder / "accounts.parquet", columns=["account_id", "closed_at"]).to_pylist()
    closed = {row["account_id"]: -1 if row["closed_at"] is None else day_number(row["closed_at"]) for row in accounts}
    names = [prefix + name for prefix in ("", "clairvoyant_") for name in SCORES]
    told: dict[str, list[np.ndarray]] = {name: [] for name in names}
    came: dict[str, list[np.ndarray]] = {name: [] for name in SCORES}
    for date_ in DATES:
        as_of = (date_ - START).days
        table = plain.rows(date_, HORIZON)
        ids = table["account_id"].to_pylist()
        paid = np.stack([rates.get(account, np.zeros(DAYS)) for account in ids], axis=1)
        gone = np.array([closed[account] for account in ids])
        ends = outcomes(Future(paid[as_of:], gone), paid[as_of - 1], as_of, HORIZON)
        for name in names:
            told[name].append(table[name].to_numpy())
        for name in SCORES:
            came[name].append(ends[name])
    return Judged(*({name: np.concatenate(parts) for name, parts in each.items()} for each in (told, came)))


@pytest.mark.slow
def test_the_ceiling_is_calibrated(judged: Judged) -> None:
    """One date has some 12,000 accounts at risk, where chance alone makes an ECE of .0023 and now and then more than
    .003; so two dates are judged together, whose windows do not overlap. And none is beyond what chance makes."""
    assert ece(*judged.pair("expansion")) < 0.003
    rng = np.random.default_rng(1)
    for name in ("expansion", "high_value", "churn"):
        for prefix in ("", "clairvoyant_"):
            said, came = judged.pair(name, prefix)
            by_chance = [ece(said, rng.random(len(said)) < said) for _ in range(200)]
            assert ece(said, came) <= max(by_chance), prefix + name


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "clairvoyant_"])
def test_as_many_come_as_were_foretold(judged: Judged, prefix: str) -> None:
    for name in ("expansion", "high_value", "churn"):
        said, came = judged.pair(name, prefix)
        assert abs((came - said).sum()) < 4 * np.sqrt((said * (1 - said)).sum()), name
    said, came = judged.pair("increment", prefix)
    assert abs((came - said).sum()) < 4 * np.sqrt(((came - said) ** 2).sum())


@pytest.mark.slow
def test_who_knows_more_foretells_better(judged: Judged) -> None:
    for name in ("expansion", "churn"):
        came = judged.pair(name)[1]
        losses = [log_loss(judged.pair(name, prefix)[0], came) for prefix in ("clairvoyant_", "")]
        losses.append(log_loss(np.full(len(came), came.mean()), came))
        for better, worse in pairwise(losses):
            gap = worse - better
            assert gap.sum() > 4 * gap.std() * np.sqrt(len(gap)), name


@pytest.mark.slow
def test_no_model_fitted_on_what_came_before_beats_the_ceiling(plain: Vendor) -> None:
    """Given the ceiling's own score and what the raw tables show besides, it finds nothing more to say."""
    (past, moved), (now, came) = (evidence(plain, day) for day in DATES)
    scale = StandardScaler().fit(past)
    model = LogisticRegression(C=1.0).fit(scale.transform(past), moved)
    fitted = log_loss(model.predict_proba(scale.transform(now))[:, 1], came)
    gap = fitted - log_loss(1 / (1 + np.exp(-now[:, 0])), came)
    assert gap.sum() > -3 * gap.std() * np.sqrt(len(gap))
    blind = LogisticRegression(C=1.0).fit(scale.transform(past)[:, 1:], moved)  # which has learnt something
    share = np.full(len(came), moved.mean())
    gain = log_loss(share, came) - log_loss(blind.predict_proba(scale.transform(now)[:, 1:])[:, 1], came)
    assert gain.sum() > 4 * gain.std() * np.sqrt(len(gain))


def evidence(made: Vendor, day: date) -> tuple[np.ndarray, np.ndarray]:
    """(logit of the ceiling, events in four weeks, in one, days since the sign-up, tier) of accounts at risk, and
    whether they expanded."""
    as_of = (day - START).days
    table = made.rows(day, HORIZON)
    table = table.filter(table["expansion"].is_valid())
    ids = table["account_id"].to_pylist()
    rates = run_rates(made.folder, DAYS)
    paid = np.stack([rates.get(account, np.zeros(DAYS)) for account in ids], axis=1)
    files = [made.folder / "events" / f"{day - timedelta(days=back)}.parquet" for back in range(1, 29)]
    month, week = (
        Counter(pa.concat_tables(pq.read_table(file, columns=["account_id"]) for file in some)[0].to_pylist())
        for some in (files, files[:7])
    )
    accounts = pq.read_table(made.folder / "accounts.parquet", columns=["account_id", "created_at"]).to_pylist()
    joined = {row["account_id"]: day_number(row["created_at"]) for row in accounts}
    said = np.clip(table["expansion"].to_numpy(), 1e-12, 1 - 1e-12)
    columns = [
        np.log(said / (1 - said)),
        np.log1p([month[account] for account in ids]),
        np.log1p([week[account] for account in ids]),
        np.array([as_of - joined[account] for account in ids]),
        tiers(paid[as_of - 1]),
    ]
    closed = np.full(len(ids), -1)
    return np.stack(columns, axis=1), outcomes(Future(paid[as_of:], closed), paid[as_of - 1], as_of, HORIZON)[
        "expansion"
    ]


def led(made: Vendor, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """By score, the standardised differences between the truth as of JUNE and the ends of COPIES lives an account, each
    from a hidden state drawn from the belief. Half of the accounts are the most likely to expand. Chances are judged
    account by account, if five lives or more are foretold to make it and to fail; money, whose tail is too heavy for
    that, in GROUPS of accounts; `all`: each score summed over all accounts."""
    table = made.rows(JUNE, HORIZON)
    table = table.filter(pa.array(np.isfinite(table["expansion"].to_numpy())))
    likely = np.argsort(-table["expansion"].to_numpy(), kind="stable")
    chosen = np.concatenate([likely[: count // 2], rng.choice(likely[count // 2 :], count - count // 2, replace=False)])
    table = table.take(pa.array(np.sort(chosen)))  # in order of blocks
    number = np.array([int(account[4:]) for account in table["account_id"].to_pylist()])
    came: dict[str, list[np.ndarray]] = {name: [] for name in SCORES}
    for place, known in enumerate(made.blocks):
        who = np.flatnonzero(np.isin(known.accounts.number, number))
        if len(who):
            path = copies_of(made.market, known, np.repeat(who, COPIES), rng, place)
            before = path.lives.rate - path.lives.credited(AS_OF - 1)
            future = path.over(AS_OF, AS_OF + HORIZON + HELD + 1)
            for name, ends in outcomes(future, before, AS_OF, HORIZON).items():
                came[name].append(ends.reshape(-1, COPIES).astype(np.float64))
    off: dict[str, np.ndarray] = {}
    sums = []
    for name in SCORES:
        ends, said = np.concatenate(came[name]), table[name].to_numpy()
        risk = ~np.isnan(said)
        ends, said = ends[risk], said[risk]
        spread = ends.std(axis=1) if name == "increment" else np.sqrt(said * (1 - said))
        gap = ends.mean(axis=1) - said
        sums.append(gap.sum() / np.sqrt((spread**2).sum() / COPIES))
        if name == "increment":
            groups = [slice(first, None, GROUPS) for first in range(GROUPS)]
            off[name] = np.array([gap[one].sum() / np.sqrt((spread[one] ** 2).sum() / COPIES) for one in groups])
        else:
            often = np.minimum(said, 1 - said) * COPIES >= 5
            off[name] = gap[often] / (spread[often] / np.sqrt(COPIES))
    return {**off, "all": np.array(sums)}


def copies_of(market: Market, known: Known, who: np.ndarray, rng: np.random.Generator, seed: int) -> Path:
    """Lives as of JUNE that agree with all that is known: what is hidden is drawn anew for each."""
    kept = {entry.name: getattr(known.accounts, entry.name)[who] for entry in fields(Accounts)}
    reached = known.weight[who].reshape(len(who), -1).cumsum(axis=1)
    drawn = (rng.random(len(who))[:, None] * reached[:, -1:] > reached).sum(axis=1)
    kind, size, stage = np.unravel_index(drawn, known.weight.shape[1:])
    billed = known.state["billed"][who]
    yearly = np.where(billed, kept["yearly"], rng.random(len(who)) < market.annual)
    path = Path(seed, market, replace(Accounts(**kept), type=kind, size=size, yearly=yearly))
    lives = path.lives
    for name, values in known.state.items():
        getattr(lives, name)[:] = values[who]
    lives.stage[:] = stage
    lives._credits[:] = known.credits[who]
    open_still = lives.settling(AS_OF - 1) & ~((lives.back_on >= 0) & (lives.back_on < AS_OF))
    for one in np.flatnonzero(open_still):
        lives.back_on[one] = taken_back(rng, market, AS_OF, AS_OF - int(lives.stepped_on[one]))
    return path


def steady(off: dict[str, np.ndarray]) -> None:
    """Standardised differences are what chance makes them."""
    assert np.abs(off.pop("all")).max() < 4
    for name, values in off.items():
        assert abs(values.mean()) < 4 / np.sqrt(len(values)), name
        assert abs(values.std() - 1) < 4 / np.sqrt(2 * len(values)), name
        assert np.abs(values).max() < 5, name


@pytest.mark.slow
def test_lives_led_from_what_is_known_of_500_accounts_end_as_the_truth_says(plain: Vendor) -> None:
    off = led(plain, np.random.default_rng(3), 500)
    assert len(off["expansion"]) > 200
    steady(off)


@pytest.mark.slow
def test_and_where_sales_calls(tmp_path: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.truth.HORIZONS", (HORIZON,))
    monkeypatch.setattr("simulator.calendar.Calendar.month_starts", lambda *_: [AS_OF])
    sold = vendor(tmp_path, SimulateParams(world="assisted", accounts=2_500, quarters=6))
    off = led(sold, np.random.default_rng(4), 200)
    assert len(off["expansion"]) > 50
    steady(off)


def summed(seeds: range, folder: Folder) -> None:
    """Over vendors of 10,000 accounts of which many grow, as many expand and churn, and as much money comes, as
    clairvoyants foretold as of three dates half a year apart."""
    market = replace(Market(), type_share=np.array([0.2, 0.3, 0.3, 0.2]))
    dates = (152, 335, AS_OF)
    for day in dates:
        write_values(Outlook(market, calendar(market)), day, folder)
    sums = {name: np.zeros(2) for name in SCORES}  # of came less said, of its variance
    for seed in seeds:
        accounts = draw_accounts(np.random.default_rng(seed), market, calendar(market), 10_000, AS_OF)
        path, nothing, told, rates = Path(seed, market, accounts), Nothing(market, len(accounts)), {}, []
        truth = Truth(market, calendar(market), accounts, folder)
        for day in range(AS_OF + HORIZON + HELD + 1):
            if day in dates:
                told[day] = truth.at(day, nothing, path.lives)  # type: ignore[arg-type]
            path.turn(day)
            rates.append(path.live(day))
        rate, closed = np.array(rates), np.where(path.lives.closed_at < 0, -1, path.lives.closed_at // DAY)
        for day, table in told.items():
            who = np.array([int(account[4:]) - 1 for account in table["account_id"].to_pylist()])
            future = Future(rate[day:, who], closed[who])
            for name, came in outcomes(future, rate[day - 1, who], day, HORIZON).items():
                said = table[f"clairvoyant_{name}"].to_numpy()
                gap = (came - said)[~np.isnan(said)]
                spread = gap**2 if name == "increment" else (said * (1 - said))[~np.isnan(said)]
                sums[name] += gap.sum(), spread.sum()
    for name, (gap, variance) in sums.items():
        assert abs(gap) < 4 * np.sqrt(variance), name


def test_a_whole_vendor_does_what_clairvoyants_foretold(tmp_path: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.truth.HORIZONS", (HORIZON,))
    summed(range(1), tmp_path)


@pytest.mark.slow
def test_ten_more_vendors_do(tmp_path: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.truth.HORIZONS", (HORIZON,))
    summed(range(1, 11), tmp_path)


def test_whoever_is_at_risk_at_the_opening_of_a_month_has_a_row_and_nobody_else(small: Folder) -> None:
    rows = pq.read_table(small / "truth.parquet", columns=["account_id", "as_of", "horizon"]).to_pylist()
    said = [(row["account_id"], row["as_of"], row["horizon"]) for row in rows]
    months = [date(2024, month, 1) for month in range(2, 11)]
    wanted = [
        (row["account_id"], as_of, horizon)
        for row in pq.read_table(small / "accounts.parquet").to_pylist()
        for as_of in months
        for horizon in HORIZONS
        if row["created_at"].date() < as_of
        and (row["closed_at"] is None or row["closed_at"].date() >= as_of)
        and not row["is_internal"]
    ]
    assert said == sorted(wanted)


def test_a_score_is_missing_only_where_there_is_nothing_left_to_reach(small: Folder) -> None:
    rates = run_rates(small, DAYS)
    columns = pq.read_table(small / "truth.parquet").to_pydict()
    rows = zip(columns["account_id"], columns["as_of"], columns["expansion"], columns["high_value"], strict=True)
    found = set()
    for account, as_of, expansion, high_value in rows:
        tier = int(tiers(rates.get(account, np.zeros(DAYS)))[(as_of - START).days - 1])
        assert (expansion is None) == (tier == 4)
        assert (high_value is None) == (tier >= 3)
        found.add(tier)
    assert found == set(range(5))
    assert set(columns["uplift"]) == {None}


def test_chances_are_chances_and_grow_with_the_horizon(small: Folder) -> None:
    table = pq.read_table(small / "truth.parquet")
    for prefix in ("", "clairvoyant_"):
        expansion, high_value, churn = (
            table[f"{prefix}{name}"].to_numpy().reshape(-1, len(HORIZONS)) for name in SCORES[:3]
        )
        for chance in (expansion, high_value, churn):
            known = chance[~np.isnan(chance[:, 0])]
            assert ((known >= 0) & (known <= 1)).all()
            assert (np.diff(known, axis=1) >= -1e-12).all()
        assert (np.nan_to_num(expansion) + churn <= 1 + 1e-12).all()
        assert not (high_value > expansion + 1e-12).any()  # who gets that far has moved to the next tier
        assert np.isfinite(table[f"{prefix}increment"].to_numpy()).all()
