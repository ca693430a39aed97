"""The gate and the aliases: what moves, what is refused, and what is written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models import registry
from tests.training.judged import NOW, audited, heldout_rows, trained, with_truth
from tests.training.promoting import DOCUMENT, GATE, PARAMS, Train, audit, lines
from training.errors import NothingToPromote, PromotionRefused
from training.evaluate import evaluate
from training.gate import GateParams
from training.promote import promote, register_candidate, rollback
from warehouse.errors import DataError, GateRefused
from warehouse.store import Workspace

UNLIKE = GateParams(bootstrap=60, unlike=True)


def _rule(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    return next(rule for rule in verdict["rules"] if rule["name"] == name)


def test_the_first_model_that_passes_becomes_champion(workspace: Workspace, train: Train) -> None:
    done = train()
    assert done.promoted
    assert not done.verdict.compared
    assert registry.aliases(workspace) == {"champion": 1}
    assert audit(workspace) == [("register", 1), ("promote", 1)]
    assert done.version.tags["gate"] == "passed"
    assert json.loads(done.version.tags["verdict"])["passed"]


def test_a_first_model_without_skill_stays_challenger_and_the_verdict_says_why(
    workspace: Workspace, train: Train
) -> None:
    done = train(heldout_rows(skill=0.0))
    assert not done.promoted
    assert registry.aliases(workspace) == {"challenger": 1}
    assert "no skill" in done.verdict.failures[0]
    assert done.version.tags["gate"] == "failed"
    assert not json.loads((workspace.artifacts / "verdict.json").read_text())["passed"]


@pytest.mark.parametrize(
    ("rule", "heldout", "changes"),
    [
        ("positives", lambda: heldout_rows(n=400, base=-5.5), {}),
        ("one_feature", heldout_rows, {"gain": [{"feature": "the_label", "share": 0.61}]}),
        ("too_good", lambda: _given_away(heldout_rows()), {}),
        ("skill", lambda: heldout_rows().slice(0, 0), {}),
        ("skill", lambda: heldout_rows(n=400, base=-5.5), {}),
    ],
)
def test_each_rule_of_the_first_gate_refuses(
    workspace: Workspace, train: Train, rule: str, heldout: Callable[[], pa.Table], changes: dict[str, Any]
) -> None:
    done = train(heldout(), **changes)
    assert not _rule(done.verdict.document(), rule)["passed"]
    assert registry.aliases(workspace) == {"challenger": 1}


def test_a_version_too_few_told_of_is_not_let_in_by_asking_for_fewer_afterwards(
    workspace: Workspace, train: Train
) -> None:
    """Its grade was not given: only judging it anew can tell."""
    done = train(heldout_rows(n=400, base=-5.5))
    assert done.version.tags["grade"] == "too few to tell"
    with pytest.raises(PromotionRefused, match="The grade is too few to tell; skill must be shown"):
        promote(workspace, GateParams(bootstrap=60, min_positives=1), NOW)


def test_a_challenger_that_does_better_than_the_simulators_truth_is_refused(workspace: Workspace) -> None:
    trained(workspace.root, _given_away(heldout_rows()))
    evaluate(workspace, PARAMS, with_truth(workspace.root))
    done = register_candidate(workspace, DOCUMENT, "abc123", NOW)
    assert not _rule(done.verdict.document(), "beyond_ceiling")["passed"]
    assert registry.aliases(workspace) == {"challenger": 1}
    with pytest.raises(PromotionRefused, match="below that of the true probabilities"):
        promote(workspace, GATE, NOW)


def _given_away(rows: pa.Table) -> pa.Table:
    """The champion's scores with the label written into them."""
    own = pc.equal(rows["candidate"], "champion")
    leaked = pc.add(pc.multiply(rows["label"].cast(pa.float64()), 0.5), pc.multiply(rows["score"], 0.4))
    for column in ("score", "probability"):
        place = rows.column_names.index(column)
        rows = rows.set_column(place, column, pc.if_else(own, leaked, rows[column]))
    return rows


def test_a_better_challenger_is_compared_on_the_same_rows_and_takes_over(workspace: Workspace, train: Train) -> None:
    train(heldout_rows(skill=1.6))
    second = train(heldout_rows(skill=2.0))
    assert not second.promoted
    assert second.verdict.compared
    assert registry.aliases(workspace) == {"champion": 1, "challenger": 2}
    verdict = promote(workspace, GATE, NOW)
    assert verdict.passed
    assert "same 1,500 rows" in verdict.basis
    assert registry.aliases(workspace) == {"champion": 2, "previous": 1}
    assert audit(workspace)[-1] == ("promote", 2)


def test_a_worse_challenger_is_refused_and_no_alias_moves(workspace: Workspace, train: Train) -> None:
    train(heldout_rows(skill=2.0))
    train(heldout_rows(skill=1.2))
    before = registry.aliases(workspace)
    with pytest.raises(PromotionRefused) as refused:
        promote(workspace, GATE, NOW)
    assert isinstance(refused.value, GateRefused)
    assert refused.value.exit_code == 4
    assert not _rule(refused.value.verdict, "log_loss")["passed"]
    assert "log-loss" in str(refused.value)
    assert registry.aliases(workspace) == before == {"champion": 1, "challenger": 2}
    assert audit(workspace)[-1] == ("refuse", 2)


def test_a_challenger_judged_on_other_data_takes_nobodys_place_unless_the_params_let_it(
    workspace: Workspace, train: Train
) -> None:
    train()
    train(heldout_rows(seed=4), data_fingerprint="e" * 64)
    with pytest.raises(PromotionRefused, match=r"champion 1: .* have another label.*gate\.unlike: true") as refused:
        promote(workspace, GATE, NOW)
    assert refused.value.exit_code == 4
    assert not _rule(refused.value.verdict, "comparison")["passed"]
    assert registry.aliases(workspace) == {"champion": 1, "challenger": 2}
    verdict = promote(workspace, UNLIKE, NOW)
    assert verdict.passed
    assert not verdict.compared
    alone = {"skill", "positives", "one_feature", "too_good", "leak_audit"}
    alone |= {"calibration", "calibration_money", "calibration_slope"}
    assert {rule.name for rule in verdict.rules} == {*alone, "comparison"}
    assert registry.aliases(workspace) == {"champion": 2, "previous": 1}
    line = lines(workspace)[-1]
    assert (line["action"], line["basis"]) == ("promote", verdict.basis)


def test_new_data_that_keep_the_held_out_rows_are_compared_on_those_in_common(
    workspace: Workspace, train: Train
) -> None:
    train(heldout_rows(skill=1.6))
    fewer = heldout_rows(skill=2.0).filter(pc.less(heldout_rows()["account_id"], "account-01200"))
    train(fewer, data_fingerprint="e" * 64)
    verdict = promote(workspace, GATE, NOW)
    assert "each one's recipe scored the same 1,200 rows" in verdict.basis


def test_a_challenger_that_says_the_same_is_no_better_so_the_champion_stays(workspace: Workspace, train: Train) -> None:
    train()
    train(gain=[{"feature": "users_28d", "share": 0.32}])
    with pytest.raises(PromotionRefused, match=r"log-loss on \d+ positives: \+0\.0000 .* must lie wholly below 0"):
        promote(workspace, GATE, NOW)


def test_a_bundle_made_for_another_ladder_does_not_score_the_rows_of_todays(workspace: Workspace, train: Train) -> None:
    train(trained_as_of="2025-06-01")
    train(heldout_rows(seed=4), fingerprint="e" * 64)
    basis = promote(workspace, UNLIKE, NOW).basis
    assert "its bundle was made for other features or another ladder; and the two were judged on different" in basis


def test_a_challenger_that_keeps_no_facts_of_its_accounts_cannot_show_that_no_segment_pays(
    workspace: Workspace, train: Train
) -> None:
    train(heldout_rows(skill=1.6))
    second = train(heldout_rows(skill=2.0))
    (registry.run_folder(workspace, second.version) / "heldout_accounts.parquet").unlink()
    with pytest.raises(PromotionRefused, match=r"keeps no heldout_accounts\.parquet.*Run `expansion train`") as refused:
        promote(workspace, GATE, NOW)
    assert [rule["name"] for rule in refused.value.verdict["rules"] if not rule["passed"]] == ["segments"]
    assert registry.aliases(workspace) == {"champion": 1, "challenger": 2}


def test_a_version_that_was_not_audited_for_leaks_serves_nobody(workspace: Workspace) -> None:
    trained(workspace.root)
    (workspace.artifacts / "leaks.json").unlink()
    evaluate(workspace, PARAMS)
    done = register_candidate(workspace, DOCUMENT, "abc123", NOW)
    assert not done.promoted
    assert done.version.tags["leak_audit"] == "absent"
    with pytest.raises(PromotionRefused, match=r"has no leaks\.json") as refused:
        promote(workspace, GATE, NOW)
    assert refused.value.exit_code == 4
    assert registry.aliases(workspace) == {"challenger": 1}


def test_a_failed_leak_audit_refuses_and_the_verdict_quotes_the_probe(workspace: Workspace) -> None:
    bundle = json.loads((trained(workspace.root).artifacts / "train.json").read_text())["bundle_id"]
    failed = audited(bundle, future_rows="events_28d (12 rows) change.")
    (workspace.artifacts / "leaks.json").write_text(json.dumps(failed))
    evaluate(workspace, PARAMS)
    done = register_candidate(workspace, DOCUMENT, "abc123", NOW)
    rule = _rule(done.verdict.document(), "leak_audit")
    assert (rule["passed"], rule["value"]) == (False, 1)
    assert "future_rows: events_28d (12 rows) change." in rule["text"]
    assert registry.aliases(workspace) == {"challenger": 1}
    kept = registry.run_folder(workspace, done.version)
    assert json.loads((kept / "leaks.json").read_text()) == failed
    assert json.loads((kept / "verdict.json").read_text())["passed"] is False


def test_the_audit_of_another_bundle_is_not_registered(workspace: Workspace) -> None:
    trained(workspace.root)
    (workspace.artifacts / "leaks.json").write_text(json.dumps(audited("0" * 64)))
    evaluate(workspace, PARAMS)
    with pytest.raises(DataError, match=r"not of one run.*leaks\.json of bundle 000000000000"):
        register_candidate(workspace, DOCUMENT, "abc123", NOW)


def _told(times: float, heldout: pa.Table) -> pa.Table:
    """The held-out rows, every probability so many times as high; ranked as before."""
    own = pc.min_element_wise(pc.multiply(heldout["probability"], times), 0.99)
    return heldout.set_column(heldout.column_names.index("probability"), "probability", own)


def test_a_total_far_off_is_refused_beside_a_champion(workspace: Workspace, train: Train) -> None:
    train()
    train(_told(0.3, heldout_rows()))
    with pytest.raises(PromotionRefused, match="Expected over actual positives: 0"):
        promote(workspace, GATE, NOW)


def test_a_first_model_that_promises_three_times_too_many_serves_nobody(workspace: Workspace, train: Train) -> None:
    rare = {"n": 6000, "base": -5.0}
    assert train(_told(3.0, heldout_rows(**rare))).promoted is False
    with pytest.raises(PromotionRefused) as refused:
        promote(workspace, GATE, NOW)
    assert refused.value.exit_code == 4
    rule = _rule(refused.value.verdict, "calibration")
    assert (rule["passed"], rule["value"]) == (False, pytest.approx(3.0, rel=0.15))
    assert "95 % interval 2." in rule["text"]
    assert registry.aliases(workspace) == {"challenger": 1}
    assert train(heldout_rows(**rare)).promoted


def test_a_first_model_that_promises_money_four_times_too_high_serves_nobody(train: Train) -> None:
    rows = heldout_rows()
    place = rows.column_names.index("expected_increment")
    dear = rows.set_column(place, "expected_increment", pc.multiply(rows["expected_increment"], 4.0))
    refused = train(dear)
    assert refused.promoted is False
    assert [rule.name for rule in refused.verdict.rules if not rule.passed] == ["calibration_money"]
    assert train(rows).promoted


def test_of_few_moves_the_money_decides_nothing_for_one_of_them_may_be_most_of_it(train: Train) -> None:
    rows = heldout_rows(n=900, base=-4.0)
    place = rows.column_names.index("expected_increment")
    dear = rows.set_column(place, "expected_increment", pc.multiply(rows["expected_increment"], 6.0))
    rule = _rule(train(dear).verdict.document(), "calibration_money")
    assert rule["passed"]
    assert "it decides nothing" in rule["text"]
    assert rule["value"] > 2.0


def test_a_first_model_whose_probabilities_are_far_too_bold_serves_nobody(workspace: Workspace, train: Train) -> None:
    """The total is right, but the high ones are far too high and the low ones far too low."""
    rows = heldout_rows()
    odds = np.log(rows["probability"].to_numpy()) - np.log1p(-rows["probability"].to_numpy())
    bold = rows.set_column(rows.column_names.index("probability"), "probability", pa.array(1 / (1 + np.exp(-4 * odds))))
    verdict = train(bold).verdict.document()
    assert not _rule(verdict, "calibration_slope")["passed"]
    assert registry.aliases(workspace) == {"challenger": 1}


def test_a_total_that_few_positives_may_have_made_by_luck_is_let_through(train: Train) -> None:
    few = heldout_rows(n=400, base=-4.0)
    rule = _rule(train(_told(3.5, few)).verdict.document(), "calibration")
    assert rule["passed"]
    assert rule["value"] > 2.0


def test_a_comparison_that_broke_is_mended_not_allowed(workspace: Workspace, train: Train) -> None:
    """`gate.unlike` speaks of rows and labels that differ, not of a champion's figures that are gone."""
    first = train(heldout_rows(skill=1.6))
    train(heldout_rows(skill=2.0), fingerprint="e" * 64)
    (registry.run_folder(workspace, first.version) / "predictions.parquet").write_bytes(b"")
    with pytest.raises(PromotionRefused, match=r"its stored predictions cannot be read") as refused:
        promote(workspace, UNLIKE, NOW)
    assert "gate.unlike" not in str(refused.value)
    assert registry.aliases(workspace) == {"champion": 1, "challenger": 2}


def test_a_promotion_killed_between_its_moves_leaves_its_line_and_nothing_to_go_back_to(
    workspace: Workspace, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(heldout_rows(skill=1.6))
    train(heldout_rows(skill=2.0))
    whole = registry.move_aliases

    def killed(where: Workspace, moves: Mapping[str, int | None]) -> None:
        whole(where, dict(list(moves.items())[:1]))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "move_aliases", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(workspace, GATE, NOW)
    assert registry.aliases(workspace) == {"champion": 1, "challenger": 2, "previous": 1}
    assert audit(workspace)[-1] == ("promote", 2)
    with pytest.raises(NothingToPromote, match="neither an earlier release nor a previous champion"):
        rollback(workspace, NOW)
    promote(workspace, GATE, NOW)
    assert registry.aliases(workspace) == {"champion": 2, "previous": 1}


def test_rollback_goes_back_one_and_then_has_nowhere_to_go(workspace: Workspace, train: Train) -> None:
    train(heldout_rows(skill=1.6))
    train(heldout_rows(skill=2.0))
    promote(workspace, GATE, NOW)
    done = rollback(workspace, NOW)
    assert (done.version, done.left) == (1, 2)
    assert registry.aliases(workspace) == {"champion": 1}
    assert audit(workspace)[-1] == ("rollback", 1)
    with pytest.raises(NothingToPromote, match="neither an earlier release nor a previous champion"):
        rollback(workspace, NOW)


def test_without_a_challenger_there_is_nothing_to_promote(workspace: Workspace, train: Train) -> None:
    with pytest.raises(NothingToPromote, match="expansion train"):
        promote(workspace, GATE, NOW)
    train()
    with pytest.raises(NothingToPromote, match="no challenger"):
        promote(workspace, GATE, NOW)


def test_figures_of_another_bundle_are_not_registered(workspace: Workspace) -> None:
    trained(workspace.root)
    evaluate(workspace, PARAMS)
    trained(workspace.root, heldout_rows(n=300))
    with pytest.raises(DataError, match="not of one run"):
        register_candidate(workspace, DOCUMENT, "abc123", NOW)
    assert registry.aliases(workspace) == {}


def test_every_audit_line_carries_the_time_it_was_given(workspace: Workspace, train: Train) -> None:
    train()
    assert {line["at"] for line in lines(workspace)} == {NOW.isoformat()}
