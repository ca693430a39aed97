"""What stands in the tables of the bars beside a bare yes or no."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from benchmarks.bars import Bar, bars
from benchmarks.one_run import _figures
from benchmarks.results_bars import PRICE_CHANGE, bars_block, finer, wholesaler
from simulator.simulate import SimulateParams
from simulator.worlds import WORLDS
from tests.benchmarks.test_results import KEPT, ranked, real, run
from training.bootstrap import Scored


def block(*runs: dict[str, Any]) -> str:
    document = {"runs": runs, "real": []}
    return bars_block(document, bars(document))


def cells(text: str, name: str) -> list[str]:
    """Those of the row of a table that begins so."""
    [row] = [line for line in text.splitlines() if line.startswith(f"| {name}")]
    return row.strip("| ").split(" | ")


def null(around: tuple[float, float] | None) -> dict[str, Any]:
    [row] = run("null")["pooled"]
    return run("null", grade={"word": "no skill", "why": ""}, pooled=[{**row, "roc_auc_ci": around}])


@pytest.mark.parametrize(
    ("must", "stretch", "text", "value", "shown"),
    [
        (".90 to 1.10", ".95 to 1.05", "week 4 0.90 (0.83 to 0.96); week 13 0.98", 0.8995, "week 4 0.899 (0.83"),
        (".90 to 1.10", ".95 to 1.05", "week 4 0.90 (0.83 to 0.96); week 13 0.98", 0.9, "week 4 0.90 (0.83"),
        (".90 to 1.10", ".95 to 1.05", "week 4 0.97 (0.90 to 0.99)", 0.9712, "week 4 0.97 (0.90"),
        (".85 to 1.15", ".95 to 1.05", "week 13 0.84; week 4 1.15 (0.91 to 1.39)", 1.15022, "week 4 1.1502 (0.91"),
        ("94 %", "97 %", "week 4 94% (90% to 100%)", 0.9368, "week 4 93.7% (90%"),
        ("each 86 %, mean 90 %", "mean 95 %", "week 4 90% (90% to 100%); mean 92%", 0.8968, "week 4 90% (90%"),
        ("at most .012", "at most .006", "week 4 0.012", 0.01234, "week 4 0.0123"),
    ],
)
def test_a_figure_that_would_round_onto_its_bar_shows_more_digits(
    must: str, stretch: str, text: str, value: float, shown: str
) -> None:
    assert shown in finer(text, {"week 4": value}, Bar("", must, stretch, text, "no"))


def test_a_mean_is_held_to_the_bar_of_the_mean_alone() -> None:
    text = "week 4 95% (90% to 100%); mean 90%"
    bar = Bar("", "each 86 %, mean 90 %", "mean 95 %", text, "no")
    assert finer(text, {"week 4": 0.9512, "mean": 0.8961}, bar) == "week 4 95% (90% to 100%); mean 89.6%"


def test_what_is_shown_unrounded_is_what_the_bars_round() -> None:
    document = json.loads(KEPT.read_text(encoding="utf-8"))
    found = bars(document)
    assert sum(bool(bar.figures) for bar in found) == 14  # all but the laws and `null`
    assert sum(bool(bar.figures_elsewhere) for bar in found) == 10
    for bar in found:
        for text, figures in ((bar.shown, bar.figures), (bar.elsewhere, bar.figures_elsewhere)):
            for place, value in figures.items():
                match = re.search(rf"(?:^|; ){place} ?([\d.]+)(%?)", text)
                assert match, (bar.name, place, text)
                digits = len(match[1].partition(".")[2])
                assert f"{value:.{digits}{match[2] or 'f'}}" == match[1] + match[2], (bar.name, place)


def test_a_world_run_on_one_seed_is_called_one_draw() -> None:
    text = block(run(), run("nonlinear"), run("faulty"))
    assert cells(text, "`nonlinear`")[1] == "4.00 (one draw)"
    assert cells(text, "`faulty`")[1].endswith(" (one draw)")
    assert "one draw" not in cells(text, "ECE")[1]
    assert "one draw" not in cells(block(run(), run("nonlinear"), run("nonlinear", 8)), "`nonlinear`")[1]


def test_an_interval_of_null_wholly_below_a_half_is_said_to_be() -> None:
    below = null((0.463, 0.497))
    text = block(below)
    assert "; ROC-AUC 0.940 (0.463 to 0.497) (one draw)" in cells(text, "`null`")[1]
    assert "lies wholly below .5 (the truth itself has 0.940): on this one vendor" in text
    several = block(below, {**null((0.48, 0.52)), "seed": 8}, {**null((0.51, 0.53)), "seed": 9})
    assert "lies wholly below .5 for 1 of 3 vendors, wholly above for 1 (the truth" in several
    assert cells(several, "`null`")[1].endswith("; ROC-AUC 0.940")


def test_every_vendor_of_null_is_to_be_graded_so_and_every_interval_to_cover() -> None:
    def worded(*told: tuple[str, float]) -> list[str]:
        runs = [{**null(None), "seed": seed, "grade": {"word": word, "why": ""}} for seed, (word, _) in enumerate(told)]
        for one, (_, base) in zip(runs, told, strict=True):
            one["pooled"] = [{**one["pooled"][0], "base_rate": base}]
        found = cells(block(*runs), "`null`")
        return [found[1].partition("; ROC")[0], found[5]]

    assert worded(("no skill", 0.31), ("no skill", 0.41)) == [
        "all of 2 are graded so, the intervals of all of 2 cover; PR-AUC 0.400, base rate 0.360 (0.310 to 0.410)",
        "**yes**, and the stretch",
    ]
    assert worded(("weak", 0.31), ("no skill", 0.05))[0].startswith("1 of 2 are graded so, the intervals of 1 of 2")
    assert worded(("no skill", 0.31), ("no skill", 0.05))[1] == "**no**"


def test_in_expectation_is_what_draws_of_who_moves_are_on_average() -> None:
    rng = np.random.default_rng(0)
    true, score = rng.beta(1, 20, 400), rng.random(400)
    score = np.round(score + 4 * true, 1)  # with ties
    found = _figures("it", Scored(true, true, score, score), true)
    drawn = []
    for _ in range(400):
        label = (rng.random(400) < true).astype(float)
        figures = Scored(label, label, score, score).figures()
        drawn.append((figures["roc_auc"], figures["lift_5"]))
    spread = np.std(drawn, axis=0) / 20
    expected = np.array([found["roc_auc_of_truth"], found["lift_5_of_truth"]])
    assert (np.abs(np.mean(drawn, axis=0) - expected) < 4 * spread).all()


def test_bars_in_expectation_stand_beside_the_bars_and_decide_none() -> None:
    plain = run()
    for group in plain["groups"].values():
        for name, lost in (("champion", 0.013), ("ceiling", 0.0)):
            told = {"roc_auc_of_truth": 0.94 - lost, "lift_5_of_truth": 12.0, "expected": 50.0}
            group["candidates"] = {**group["candidates"], name: group["candidates"][name] | told}
    decided, luckless = block(plain).split("How much of that is luck?")
    assert "about 50, 50 and 50 moves" in luckless
    assert cells(luckless, "ROC-AUC below the ceiling")[3:] == ["at most .012", "**no**", "-"]
    assert cells(luckless, "lift at 5 %")[4] == "**yes**, and the stretch"
    assert cells(luckless, "positives expected over true")[4] == "**yes**, and the stretch"
    assert cells(decided, "ROC-AUC below the ceiling")[5] == "**yes**, and the stretch"
    assert "How much of that is luck?" not in block(run())


def test_the_ranks_of_before_stand_beside_the_bars_and_decide_none() -> None:
    plain = run()
    for group in plain["groups"].values():
        own = {name: group["candidates"][name] for name in ("champion", "ceiling")}
        group["among_all"] = own | {"champion": {**own["champion"], "roc_auc": own["ceiling"]["roc_auc"] - 0.02}}
    decided, before = block(plain).split("Ranked among all accounts of the date")
    assert cells(before, "ROC-AUC below the ceiling")[4] == "**no**"
    assert cells(decided, "ROC-AUC below the ceiling")[5] == "**yes**, and the stretch"


@pytest.mark.parametrize("around", [(0.463, 0.512), None])
def test_an_interval_of_null_that_holds_a_half_or_is_not_kept_says_nothing_more(
    around: tuple[float, float] | None,
) -> None:
    text = block(null(around))
    assert "; ROC-AUC 0.940" in cells(text, "`null`")[1]
    assert "wholly below" not in text


def test_drift_is_told_date_by_date_and_names_those_outside_its_bar() -> None:
    dates = {"2024-09-01": 0.8, "2024-12-01": 1.41, "2025-03-01": 1.1, "2025-06-01": 0.99}
    drift = run("drift", dates=list(dates))
    row = drift["origins"][0]
    drift["origins"] = [{**row, "as_of": day, "expected_over_actual": value} for day, value in dates.items()]
    text = block(run(), drift)
    assert [cells(text, day)[2] for day in dates] == [f"{value:.2f} [0.90 to 1.10]" for value in dates.values()]
    assert f"Of the 2 dates between the price change of {PRICE_CHANGE} and that one, 1 lies outside" in text
    assert ".85 to 1.15: 2024-12-01." in text


def test_dates_of_several_vendors_of_drift_are_told_together() -> None:
    def drift(seed: int, *values: float) -> dict[str, Any]:
        one = run("drift", seed, dates=["2024-12-01", "2025-06-01"])
        [row] = one["origins"]
        one["origins"] = [
            {**row, "as_of": day, "expected_over_actual": value, "positives": 50 * seed}
            for day, value in zip(one["dates"], values, strict=True)
        ]
        return one

    text = block(drift(1, 1.3, 0.9), drift(2, 1.0, 1.2))
    assert cells(text, "2024-12-01")[1:3] == ["150 of 2,000", "1.10 (1.00 to 1.30)"]
    assert cells(text, "`drift`: the same")[1] == "1.10 (0.90 to 1.20)"
    assert "none lies outside .85 to 1.15." in text


def test_the_price_changes_when_the_simulator_says() -> None:
    year, month = divmod(WORLDS["drift"].market().price_month, 12)
    start = SimulateParams().start
    assert start.replace(year=start.year + year, month=start.month + month).isoformat() == PRICE_CHANGE


@pytest.mark.parametrize(("money", "reached"), [(0.504, "**level**"), (0.496, "**level**"), (0.52, "**yes**")])
def test_money_that_reads_as_lifetime_spends_is_level_with_it(money: float, reached: str) -> None:
    rows = [ranked("champion", 1.2, "moved_up"), ranked("spend_lifetime", 1.0, "moved_up")]
    served = ranked("expansion_score", 1.0, "moved_up", revenue_captured_10=money)
    text = wholesaler({"runs": [], "real": [real(*rows, served)]})
    assert cells(text, "increment held")[3:] == ["**yes**", f"{money:.0%}", reached]
    assert "in 180 days from 2011-05-01" in text
