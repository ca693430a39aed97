"""Each fault of accounts and revenue hits what it says, as often as it says; no user and no money gets lost."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.simulator.spoilt_vendor import (
    ACCOUNTS,
    DAY,
    END,
    FIRST,
    alone,
    as_often_as,
    by_id,
    clean,
    differ,
    events_beside,
    users_hit,
    values,
)


def takeovers() -> dict[str, tuple[str, datetime]]:
    """Account merged away -> the account that its events went to, and when it closed."""
    vendor, _ = alone("merged")
    before, after, _ = events_beside("merged")
    hit = differ(before, after, "account_id")
    into = dict(zip(values(before, "account_id")[hit], values(after, "account_id")[hit], strict=True))
    old = clean().tables["accounts"]
    closed = vendor.tables["accounts"]["closed_at"].to_pylist()
    was = old["closed_at"].to_pylist()
    return {
        account: (into[account], closed[row])
        for row, account in enumerate(old["account_id"].to_pylist())
        if closed[row] != was[row] and account in into
    }


def only_settled() -> bool:
    """Accounts differ in closed_at alone, and those that do are neither internal nor hit early or late in life."""
    before, after = clean().tables["accounts"], alone("merged")[0].tables["accounts"]
    assert after.drop_columns("closed_at").equals(before.drop_columns("closed_at"))
    pairs = zip(before.to_pylist(), after["closed_at"].to_pylist(), strict=True)
    return all(thirty_days_apart(row | {"moved": moved}) for row, moved in pairs if moved != row["closed_at"])


def thirty_days_apart(account: dict[str, Any]) -> bool:
    days = (
        (account["moved"] - account["created_at"]).days,
        ((account["closed_at"] or END.item()) - account["moved"]).days,
    )
    return min(days) >= 29 and not account["is_internal"]  # 30 midnights


def test_a_merged_account_closes_and_all_that_follows_is_the_older_ones() -> None:
    vendor, worker = alone("merged")
    assert worker.counts["accounts.merged"] == 100
    assert only_settled()
    merged = takeovers()
    assert len(merged) > 80  # the others did nothing after
    before, after, day = events_beside("merged")
    created = dict(zip(*(clean().tables["accounts"][c].to_pylist() for c in ("account_id", "created_at")), strict=True))
    midnights = (FIRST + day.astype("timedelta64[D]")).tolist()
    for old, new, midnight in zip(
        before["account_id"].to_pylist(), after["account_id"].to_pylist(), midnights, strict=True
    ):
        assert new == (merged[old][0] if old in merged and midnight >= merged[old][1] else old)
    assert all(created[target] < created[account] for account, (target, _) in merged.items())
    bills = by_id(vendor.tables["revenue"])
    for key, row in by_id(clean().tables["revenue"]).items():
        into, moment = merged.get(row["account_id"], ("", END.item()))
        assert bills[key] == row | ({"account_id": into} if row["booked_at"] >= moment else {})
    for row in vendor.tables["account_users"].to_pylist():
        assert row["account_id"] not in merged or row["valid_from"] < row["valid_to"] <= merged[row["account_id"]][1]


def test_a_split_account_loses_about_half_its_users_to_a_new_one() -> None:
    vendor, worker = alone("split")
    accounts = vendor.tables["accounts"].to_pylist()
    new = {row["account_id"]: row for row in accounts[ACCOUNTS:]}
    assert len(new) == worker.counts["accounts.split"] == 100
    assert vendor.tables["accounts"].slice(0, ACCOUNTS).equals(clean().tables["accounts"])
    source = {row["account_id"]: row for row in accounts[:ACCOUNTS]}
    assert all(thirty_days_apart(source[key[:-2]] | {"moved": row["created_at"]}) for key, row in new.items())
    for account, row in new.items():
        assert row == source[account.removesuffix("-2")] | {"account_id": account, "created_at": row["created_at"]}
    before, after, day = events_beside("split")
    split = pc.is_in(before["account_id"], value_set=pa.array([account[:-2] for account in new])).to_numpy()
    opened = [
        new[f"{account}-2"]["created_at"] if hit else None
        for account, hit in zip(values(before, "account_id"), split, strict=True)
    ]
    opened = np.array(opened, dtype="datetime64[us]")
    late = split & (FIRST + day.astype("timedelta64[D]") >= opened)
    hit = differ(before, after, "account_id")
    assert not (hit & ~late).any()
    assert not hit[before["user_id"].is_null().to_numpy()].any()
    leavers, stayers = users_hit(before.filter(pa.array(late)), hit[late])
    assert not leavers & stayers
    assert as_often_as(0.5, len(leavers), len(leavers | stayers))
    old = values(before, "account_id")[hit]
    assert (values(after, "account_id")[hit] == np.char.add(old.astype(str), "-2")).all()
    for row in vendor.tables["account_users"].to_pylist():
        if row["account_id"] in new:
            assert row["valid_from"] >= new[row["account_id"]]["created_at"]
            assert row["user_id"] not in stayers


@pytest.mark.parametrize("fault", ["merged", "split"])
def test_moves_keep_every_users_time_and_every_accounts_money(fault: str) -> None:
    def days_by_user(table: pa.Table) -> dict[str, int]:
        ends = pc.fill_null(table["valid_to"], pa.scalar(END.item(), pa.timestamp("us")))
        table = table.append_column("time", pc.subtract(ends, table["valid_from"]).cast(pa.int64()))
        table = table.group_by("user_id").aggregate([("time", "sum")])
        return dict(zip(table["user_id"].to_pylist(), table["time_sum"].to_pylist(), strict=True))

    vendor, _ = alone(fault)
    after, before = vendor.tables["account_users"], clean().tables["account_users"]
    assert after.num_rows > before.num_rows
    assert days_by_user(after) == days_by_user(before)
    bills, clean_bills = by_id(vendor.tables["revenue"]), by_id(clean().tables["revenue"])
    for key, row in clean_bills.items():
        other = bills.get(f"{key}-2", {"amount": 0})
        assert bills[key]["amount"] + other["amount"] == row["amount"]
        assert abs(bills[key]["amount"] - other["amount"]) <= Decimal("0.0001") or other["amount"] == 0
    assert len(bills) == len(clean_bills) + alone(fault)[1].counts["revenue.split"]


def test_half_of_the_internal_accounts_lose_their_flag() -> None:
    after, before = alone("unflagged")[0].tables["accounts"], clean().tables["accounts"]
    lost = after["is_internal"].is_null().to_numpy()
    assert lost.sum() == round(0.5 * pc.sum(before["is_internal"]).as_py())
    assert values(before, "is_internal")[lost].all()
    kept = pa.array(~lost)
    assert after.filter(kept).equals(before.filter(kept))


def test_a_currency_switches_for_good_and_the_worth_of_each_invoice_stays() -> None:
    after, before = alone("currency")[0].tables["revenue"], clean().tables["revenue"]
    euro = pc.equal(after["currency"], "EUR").to_numpy()
    assert before.filter(pa.array(~euro)).equals(after.filter(pa.array(~euro)))
    same = before.drop_columns(["amount", "currency"])
    assert after.drop_columns(["amount", "currency"]).equals(same)
    worth, was = (table["amount"].cast(pa.float64()).to_numpy() for table in (after, before))
    assert np.allclose(worth[euro] * 1.1, was[euro], atol=1e-4)
    accounts = values(after, "account_id")
    switched = set(accounts[euro])
    assert len(switched) == round(0.1 * len(set(accounts)))
    for account in switched:
        states = euro[accounts == account]
        assert states[-1]
        assert (np.diff(states.astype(int)) >= 0).all()
    assert any(not euro[accounts == account].all() for account in switched)


def test_back_dated_rows_are_booked_up_to_twenty_days_into_their_period() -> None:
    vendor, worker = alone("backdated")
    after, before = by_id(vendor.tables["revenue"]), by_id(clean().tables["revenue"])
    late = {key for key, row in after.items() if row != before[key]}
    for key in late:
        assert after[key] == before[key] | {"booked_at": after[key]["booked_at"]}
        assert 0 < (after[key]["booked_at"] - before[key]["period_start"]).total_seconds() <= 20 * DAY
        assert after[key]["booked_at"] < END.item()
    lost = before.keys() - after.keys()
    assert all((END.item() - before[key]["booked_at"]).days < 20 for key in lost)
    assert len(lost) == worker.counts["revenue.not_there_yet"] > 0
    assert as_often_as(0.1, len(late | lost), len(before))
    assert list(after) == [key for key in before if key in after]


def test_a_wrong_invoice_is_cancelled_and_issued_again() -> None:
    vendor, worker = alone("corrected")
    after, before = by_id(vendor.tables["revenue"]), by_id(clean().tables["revenue"])
    wrong = {key for key in before if after[key] != before[key]}
    kinds = set()
    pending = 0
    for key in wrong:
        assert after[key] == before[key] | {"amount": 2 * before[key]["amount"]}
        assert before[key]["amount"] > 0
        if f"{key}-c" not in after:
            pending += 1
            continue
        cancel, again = after[f"{key}-c"], after[f"{key}-r"]
        moment = cancel["booked_at"]
        assert DAY <= (moment - before[key]["booked_at"]).total_seconds() < 10 * DAY
        assert again == before[key] | {"revenue_id": f"{key}-r", "booked_at": moment}
        assert cancel["amount"] == -after[key]["amount"]
        assert (cancel["period_start"], cancel["period_end"]) == (
            before[key]["period_start"],
            before[key]["period_end"],
        )
        kinds.add(cancel["kind"])
    assert kinds == {"credit", "invoice"}
    assert worker.counts["revenue.not_there_yet"] == 2 * pending
    assert len(after) == len(before) + 2 * (len(wrong) - pending)
    assert as_often_as(0.1, len(wrong), sum(row["amount"] > 0 for row in before.values()))
