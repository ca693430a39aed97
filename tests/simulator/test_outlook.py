"""What every hidden state holds in store, exactly: against a scalar twin, and against thousands of lives led."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path as Folder

import numpy as np
import pyarrow as pa
import pytest

from simulator.market import CHURNED, DORMANT, EMBEDDED, EXPLORE, MUSHROOM, READY, Market
from simulator.outlook import LEFTS, YOUNG, Outlook, close, fixed, per_rate, reach
from simulator.step_size import Landing
from simulator.truth import Truth, write_values
from simulator.worlds import world_of
from tests.simulator.one_state import Nothing, Path, accounts_like, calendar, outcomes, taken_back
from tests.simulator.recursion import Value, outlook
from tests.simulator.run_rates import HELD

DUD, HOBBY, STEADY = range(3)
MONDAY, SUNDAY = 91, 517  # 1 April 2024, 1 June 2025
SHORT = 75  # days: room for two steps


def places(target: int, yearly: bool) -> list[int]:
    return [reach(target), close(target, yearly), fixed(yearly), per_rate(yearly)]


def told(value: Value) -> list[float]:
    return [value.reach, value.close, value.fixed, value.slope]


def agree(found: np.ndarray, value: Value, tier: int) -> None:
    """Nothing is asked of what a run-rate of zero is multiplied with."""
    asked = slice(0, 3 if tier == 0 else 4)
    np.testing.assert_allclose(found[asked], told(value)[asked], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("as_of", "kind", "size"), [(MONDAY, MUSHROOM, 4), (SUNDAY, STEADY, 0)])
def test_every_value_equals_that_of_a_scalar_twin(as_of: int, kind: int, size: int) -> None:
    market = world_of("plain").market()
    values = Outlook(market, calendar(market)).values(as_of, SHORT)
    for target, yearly in ((1, True), (2, False), (3, True), (4, False)):
        asked = places(target, yearly)
        twin = outlook(market, calendar(market), (kind, size, 0), (target, yearly), (as_of, SHORT))
        for tier in range(5):
            for stage in range(5):
                agree(values.free[asked, tier, 0, 0, 0, kind, size, stage], twin.free(tier, stage, 0, 0), tier)
                for days in (0, 3, 17, 34):
                    found = values.settled[days, asked, tier, 0, kind, size, stage]
                    agree(found, twin.settling(days, tier, stage), tier)


@pytest.mark.parametrize("left", [-1, 6, 29])
def test_in_a_trial_too(left: int) -> None:
    market = world_of("plain").market()
    values = Outlook(market, calendar(market)).values(SUNDAY, SHORT)
    for target, yearly in ((1, True), (3, False)):
        asked = [place for place in places(target, yearly)[:3] if place in YOUNG]
        twin = outlook(market, calendar(market), (MUSHROOM, 2, 0), (target, yearly), (SUNDAY, SHORT), left)
        for stage in range(5):
            found = values.young[[YOUNG.index(place) for place in asked], left - LEFTS[0], 0, 0, 0, MUSHROOM, 2, stage]
            wanted = [told(twin.free(0, stage, 0, 0))[places(target, yearly).index(place)] for place in asked]
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("as_of", [MONDAY, SUNDAY])
def test_and_where_sales_calls(as_of: int) -> None:
    market = world_of("assisted").market()
    values = Outlook(market, calendar(market)).values(as_of, SHORT)
    asked = places(2, True)
    twin = outlook(market, calendar(market), (MUSHROOM, 3, 1), (2, True), (as_of, SHORT))
    for tier in (0, 1, 4):
        for stage in (EMBEDDED, READY, CHURNED):
            agree(values.settled[10, asked, tier, 1, MUSHROOM, 3, stage], twin.settling(10, tier, stage), tier)
            for weeks in range(5):
                for looked in (0, 1):
                    found = values.free[asked, tier, 1, weeks, looked, MUSHROOM, 3, stage]
                    agree(found, twin.free(tier, stage, weeks, looked), tier)


@dataclass(frozen=True)
class Scene:
    """An account at an as_of, its hidden state known. `stepped`: days since its last step, from `before`, which is
    taken back no one knows when or whether, or was already (`back`). `yearly` None: it has not shown that yet.
    `credit`: money per 30 days given from the day before as_of to five days after."""

    type: int
    size: int
    stage: int
    rate: float = 0.0
    age: int = 200
    channel: int = 0
    yearly: bool | None = None
    stepped: int | None = None
    before: float = 0.0
    back: bool = False
    weeks: int = 0
    looked: bool = False
    country: int = 0
    credit: float = 0.0


SCENES = {
    "explores unpaid": Scene(MUSHROOM, 1, EXPLORE),
    "ready unpaid": Scene(HOBBY, 3, READY),
    "trial ends in three days": Scene(STEADY, 2, READY, age=11),
    "long trial has just begun": Scene(MUSHROOM, 3, EMBEDDED, age=3, channel=3),
    "trial ended yesterday": Scene(MUSHROOM, 4, READY, age=15),
    "starter by the month": Scene(MUSHROOM, 5, EMBEDDED, 30.0),
    "team by the month": Scene(STEADY, 5, READY, 200.0, yearly=False),
    "team with a credit that runs on": Scene(STEADY, 2, EMBEDDED, 500.0, yearly=False, credit=300.0),
    "team by the year": Scene(MUSHROOM, 2, DORMANT, 540.0, yearly=True),
    "business by the year": Scene(STEADY, 3, READY, 800.0, yearly=True),
    "enterprise": Scene(MUSHROOM, 5, EMBEDDED, 4_000.0, yearly=False),
    "churned, bill runs on": Scene(HOBBY, 0, CHURNED, 100.0),
    "churned, about to close": Scene(DUD, 0, CHURNED),
    "stepped yesterday": Scene(STEADY, 2, READY, 25.0, stepped=1),
    "stepped ten days ago": Scene(MUSHROOM, 4, READY, 200.0, yearly=True, stepped=10, before=80.0),
    "stepped five weeks ago": Scene(MUSHROOM, 3, EMBEDDED, 2_700.0, yearly=False, stepped=34, before=300.0),
    "step taken back": Scene(MUSHROOM, 3, READY, 90.0, yearly=False, stepped=20, before=90.0, back=True),
}
CALLED = {
    "called last week": Scene(MUSHROOM, 3, READY, weeks=3),
    "looked at prices": Scene(STEADY, 4, READY, 30.0, looked=True),
    "looked at prices in a favoured country": Scene(STEADY, 2, READY, looked=True, country=1),
    "called and looked in its trial": Scene(MUSHROOM, 2, EMBEDDED, age=12, weeks=1, looked=True, country=4),
    "settles where sales calls": Scene(MUSHROOM, 4, READY, 160.0, yearly=True, stepped=12, before=30.0),
    "neither called nor looked": Scene(MUSHROOM, 5, EMBEDDED, 700.0, yearly=False, country=1),
}


def put(market: Market, as_of: int, scenes: list[Scene], copies: int, seed: int) -> Path:
    """Accounts in the state of each scene, `copies` of each in a row, at the midnight that opens `as_of`."""
    rng = np.random.default_rng(seed)

    def column(name: str) -> np.ndarray:
        return np.repeat([getattr(scene, name) for scene in scenes], copies)

    shown = np.repeat([scene.yearly is not None for scene in scenes], copies)
    yearly = np.where(shown, column("yearly") == True, rng.random(len(shown)) < market.annual)  # noqa: E712 (None)
    first_day = as_of - column("age")
    path = Path(
        seed,
        market,
        accounts_like(column("type"), column("size"), first_day, column("channel"), column("country"), yearly),
    )
    lives = path.lives
    lives.stage[:], lives.rate[:], lives.before[:] = column("stage"), column("rate"), column("before")
    lives.billed[:], lives.assisted[:], lives.looked[:] = shown, column("weeks"), column("looked")
    for day in range(as_of - 1, as_of + 6):
        lives._credits[:, day % lives._credits.shape[1]] = column("credit")
    ago = np.repeat([-1 if scene.stepped is None else scene.stepped for scene in scenes], copies)
    lives.stepped_on[ago >= 0] = (as_of - ago)[ago >= 0]
    back = column("back")
    lives.back_on[back] = as_of - 1
    for one in np.flatnonzero((ago >= 0) & ~back):
        lives.back_on[one] = taken_back(rng, market, as_of, int(ago[one]))
    return path


def known(market: Market, as_of: int, scenes: list[Scene], folder: Folder) -> pa.Table:
    """The rows of the truth about one account a scene."""
    path = put(market, as_of, scenes, 1, seed=0)
    path.lives.back_on[:] = [as_of - 1 if scene.back else -1 for scene in scenes]
    write_values(Outlook(market, calendar(market)), as_of, folder)
    accounts = path.sales.accounts
    nothing = Nothing(market, len(scenes))
    return Truth(market, calendar(market), accounts, folder).at(as_of, nothing, path.lives)  # type: ignore[arg-type]


def scores(table: pa.Table, horizon: int, name: str) -> list[float | None]:
    rows = zip(table["horizon"].to_pylist(), table[f"clairvoyant_{name}"].to_pylist(), strict=True)
    return [value for at, value in rows if at == horizon]


def compare(
    market: Market, as_of: int, scenes: dict[str, Scene], copies: int, horizons: tuple[int, ...], folder: Folder
) -> None:
    """What the truth says of each scene is what came of its copies, within four and a half standard errors."""
    cast = list(scenes.values())
    table = known(market, as_of, cast, folder)
    path = put(market, as_of, cast, copies, seed=99)
    before = path.lives.rate - path.lives.credited(as_of - 1)
    future = path.over(as_of, as_of + max(horizons) + HELD + 1)
    for horizon in horizons:
        for name, came in outcomes(future, before, as_of, horizon).items():
            for scene, said, some in zip(scenes, scores(table, horizon, name), came.reshape(-1, copies), strict=True):
                if said is None:
                    continue
                spread = some.std() if name == "increment" else np.sqrt(said * (1 - said))
                gap = abs(some.mean() - said)
                rare = 2.0 / copies if name != "increment" else 1e-6  # chances so small that nobody was hit
                z = max(0.0, gap - rare) / max(spread / np.sqrt(copies), 1e-9)
                assert z < 4.5, (scene, name, horizon, said, some.mean(), z)


@pytest.mark.parametrize("as_of", [MONDAY, SUNDAY])
def test_thousands_of_lives_from_a_state_end_as_foretold(
    as_of: int, tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.truth.HORIZONS", (90,))
    compare(world_of("plain").market(), as_of, SCENES, 5_000, (90,), tmp_path)


def test_where_sales_calls_too(tmp_path: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.truth.HORIZONS", (90,))
    market = replace(world_of("assisted").market(), random_slots=0.5, assist=3.0)
    compare(market, SUNDAY, CALLED, 5_000, (90,), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("world", "scenes"), [("plain", SCENES), ("assisted", CALLED)])
def test_at_every_horizon(world: str, scenes: dict[str, Scene], tmp_path: Folder) -> None:
    compare(world_of(world).market(), SUNDAY, scenes, 8_000, (90, 180, 270, 360), tmp_path)


def test_until_its_first_large_invoice_nobody_knows_whether_an_account_pays_by_the_year(
    tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.truth.HORIZONS", (90,))
    market = world_of("plain").market()
    path = put(market, SUNDAY, [Scene(MUSHROOM, 3, READY, 200.0, yearly=way) for way in (True, False)], 1, seed=0)
    write_values(Outlook(market, calendar(market)), SUNDAY, tmp_path)
    truth = Truth(market, calendar(market), path.sales.accounts, tmp_path)
    for shown in (False, True):
        path.lives.billed[:] = shown
        table = truth.at(SUNDAY, Nothing(market, 2), path.lives)  # type: ignore[arg-type]
        for name in ("churn", "increment"):
            by_year, by_month = table[f"clairvoyant_{name}"].to_pylist()
            assert (by_year != by_month) == shown


@pytest.mark.parametrize(("tier", "rate"), [(0, 0.0), (1, 30.0), (2, 200.0), (3, 800.0)])
def test_a_step_lands_as_often_and_as_high_as_is_reckoned_and_never_near_a_floor(tier: int, rate: float) -> None:
    market = world_of("plain").market()
    landing, rng, count = Landing(market), np.random.default_rng(1), 100_000
    for kind, size in ((DUD, 0), (STEADY, 3), (MUSHROOM, 5)):
        landed = landing.draw(rng, np.full(count, rate), np.full(count, kind), np.full(count, size))
        into = np.searchsorted(market.floors, landed, side="right") - 1
        for one in range(5):
            share, money = landing.share[tier, one, kind, size], landing.money[tier, one, kind, size]
            here = into == one
            assert abs(here.mean() - share) < 4.5 * np.sqrt(share * (1 - share) / count) + 1e-5
            paid = np.where(here, landed, 0.0)
            assert abs(paid.mean() - money) <= 5 * paid.std() / np.sqrt(count) + 1e-5 * market.floors[one] * 2
        for floor in market.floors[1:]:
            assert not ((landed > market.ceiling * floor) & (landed < market.landing * floor)).any()


GAINS = {
    "unpaid": (Scene(MUSHROOM, 3, READY, country=4), (0, 1, -2)),
    "starter, called before": (Scene(MUSHROOM, 3, READY, 30.0, weeks=2, looked=True), (1, 2, -2)),
    "business": (Scene(STEADY, 1, EMBEDDED, 700.0, yearly=False, looked=True), (3, 4, -2)),
    "in its trial, called before": (Scene(STEADY, 2, READY, age=12, weeks=1, country=1), (0, 1, 2)),
}


@pytest.mark.parametrize("as_of", [MONDAY, SUNDAY])
def test_uplift_is_the_difference_that_a_call_on_the_day_makes(
    as_of: int, tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.truth.HORIZONS", (60,))
    market = world_of("assisted").market()
    none = [Scene(MUSHROOM, 5, READY, 4_000.0, yearly=False), Scene(MUSHROOM, 5, READY, 30.0, stepped=5)]
    scenes = [*(scene for scene, _ in GAINS.values()), *none]
    sure = Nothing(market, len(scenes))
    for place, scene in enumerate(scenes):
        sure.weight[place, scene.type, scene.size, scene.stage] = 1.0
    path = put(market, as_of, scenes, 1, seed=0)
    write_values(Outlook(market, calendar(market)), as_of, tmp_path)
    truth = Truth(market, calendar(market), path.sales.accounts, tmp_path)
    found = truth.at(as_of, sure, path.lives)["uplift"].to_pylist()  # type: ignore[arg-type]
    for (scene, (tier, target, left)), uplift in zip(GAINS.values(), found, strict=False):
        region = int(market.countries[scene.country] in market.favoured)
        account = (scene.type, scene.size, region)
        twin = outlook(market, calendar(market), account, (target, False), (as_of, 60), left)
        called, left_alone = (
            twin.called(tier, scene.stage, scene.weeks, int(scene.looked), call).reach for call in (True, False)
        )
        assert uplift == pytest.approx(called - left_alone, rel=1e-9), scene
        assert called > left_alone
    assert found[len(GAINS) :] == [None, None]  # nothing to reach; and sales leaves alone who settles
