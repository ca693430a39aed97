"""Stripe's invoices become revenue to the cent, whichever of its shapes they come in."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.builders import write_file
from tests.warehouse.adapted import adapt, at, only
from warehouse.adapters import stripe
from warehouse.adapters.stripe import CustomerMapping, StripeParams
from warehouse.engine import connect
from warehouse.errors import ContractBroken
from warehouse.rules import Reading

Row = dict[str, Any]
JAN, FEB, MAR = 1704067200, 1706745600, 1709251200  # midnight UTC of the first day of the month in 2024
NOON = 1704110400  # 2024-01-01 12:00 UTC
MOMENTS = ("booked_at", "period_start", "period_end")
READING = Reading("UTC", datetime(2025, 1, 1))
CANARY = "canary@example.com"


def line(id: str = "il_1", amount: Any = 1000, **fields: Any) -> Row:
    """A line of a one-off item in January, as the API of 2025 gives it."""
    parent = {"type": "invoice_item_details", "invoice_item_details": {"subscription": None}}
    period = {"start": JAN, "end": FEB}
    made = {
        "id": id,
        "amount": amount,
        "currency": "usd",
        "description": CANARY,
        "discount_amounts": [],
        "parent": parent,
    }
    return {**made, "period": period, "taxes": [], "livemode": True, **fields}


def invoice(id: str = "in_1", *lines: Row, **fields: Any) -> Row:
    """A paid invoice of customer cus_1, finalised at noon, twelve hours after it was drafted."""
    made = {"id": id, "status": "paid", "currency": "usd", "customer": "cus_1", "created": JAN, "livemode": True}
    told = {"total": sum(item["amount"] for item in lines if isinstance(item["amount"], int)), "customer_email": CANARY}
    items = {"object": "list", "data": list(lines), "has_more": False}
    return {**made, **told, "status_transitions": {"finalized_at": NOON}, "lines": items, **fields}


def jsonl(path: Path, *rows: Row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(raw: Path, params: StripeParams | None = None) -> tuple[list[Row], Counter[str]]:
    """The rows that the adapter holds good, by id, and the others counted by `rule|column`."""
    columns = ", ".join(f"{moment}::TIMESTAMPTZ AT TIME ZONE 'UTC' AS {moment}" for moment in MOMENTS)
    with connect(raw) as con:
        con.execute("CREATE SCHEMA ingest")
        revenue = stripe.sources(con, raw, params or StripeParams(), READING)[0]
        assert revenue.judged
        files = {file for (file,) in con.execute(f"SELECT DISTINCT _file FROM ({revenue.query})").fetchall()}
        assert files <= set(revenue.files)
        clean = f"SELECT * EXCLUDE (_file, _line, _breach) REPLACE ({columns}) FROM ({revenue.query})"
        names = [name for name, *_ in con.execute(f"DESCRIBE {clean}").fetchall()]
        found = con.execute(f"{clean} WHERE _breach IS NULL ORDER BY revenue_id").fetchall()
        aside = con.execute(f"SELECT _breach, count(*) FROM ({revenue.query}) WHERE _breach > '' GROUP BY 1").fetchall()
    assert set(names) == set(revenue.columns)
    return [dict(zip(names, row, strict=True)) for row in found], Counter(dict(aside))


OLD_SUBSCRIPTION = {"subscription": "sub_1", "type": "subscription", "parent": None}
NEW_SUBSCRIPTION = {
    "parent": {"type": "subscription_item_details", "subscription_item_details": {"subscription": "sub_1"}}
}
PRORATED = {"parent": {"type": "invoice_item_details", "invoice_item_details": {"subscription": "sub_1"}}}


def golden(revenue_id: str, amount: str, kind: str, start: datetime, end: datetime | None, booked: datetime) -> Row:
    columns = {"revenue_id": revenue_id, "account_id": "cus_1", "amount": Decimal(amount), "currency": "USD"}
    return {**columns, "booked_at": booked, "period_start": start, "period_end": end, "kind": kind}


BOOKED = datetime(2024, 1, 1, 12)
GOLDEN = [
    golden("cn_1", "-10.00", "refund", datetime(2024, 1, 1), datetime(2024, 3, 1), datetime(2024, 3, 1)),
    golden("il_1", "90.01", "subscription", datetime(2024, 1, 1), datetime(2024, 2, 1), BOOKED),
    golden("il_2", "-12.34", "credit", datetime(2024, 1, 1), datetime(2024, 3, 1), BOOKED),
    golden("il_3", "7.00", "invoice", datetime(2024, 1, 1), None, BOOKED),
    golden("il_4", "0.00", "subscription", datetime(2024, 1, 1), datetime(2024, 2, 1), BOOKED),
]


def sample(shape: str) -> list[Row]:
    subscribed = NEW_SUBSCRIPTION if shape == "new" else OLD_SUBSCRIPTION
    prorated = PRORATED if shape == "new" else {"subscription": "sub_1", "proration": True, "parent": None}
    tax = {"taxes": [{"amount": 1501, "tax_behavior": "exclusive"}]}
    if shape == "old":
        tax = {"tax_amounts": [{"amount": 1501, "inclusive": False}], "taxes": None}
    discounts = [{"amount": 999, "discount": "di_1"}, {"amount": 1, "discount": "di_2"}]
    return [
        line("il_1", 10001, discount_amounts=discounts, **tax, **subscribed),
        line("il_2", -1234, period={"start": JAN, "end": MAR}, **prorated),
        line("il_3", 700, period={"start": JAN, "end": JAN}),
        line("il_4", 0, **subscribed),
    ]


NOTE = {
    "id": "cn_1", "invoice": "in_1", "customer": "cus_1", "amount": 1200, "total": 1200, "total_excluding_tax": 1000,
    "currency": "usd", "created": MAR, "livemode": True, "status": "issued", "refunds": [{"refund": "re_1"}],
}  # fmt: skip


@pytest.mark.parametrize("shape", ["new", "old"])
@pytest.mark.parametrize("apart", [False, True])
def test_each_line_of_an_invoice_is_a_row_in_either_shape_of_the_api(shape: str, apart: bool, tmp_path: Path) -> None:
    lines = sample(shape)
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", *([] if apart else lines), total=6474))
    if apart:
        jsonl(tmp_path / "invoice_line_items.jsonl", *({**item, "invoice": "in_1"} for item in lines))
    jsonl(tmp_path / "credit_notes.jsonl", NOTE)
    assert read(tmp_path) == (GOLDEN, Counter())


def test_flat_columns_of_a_warehouse_sync_give_the_same_rows(tmp_path: Path) -> None:
    flat = {"currency": "usd", "livemode": "true", "customer_id": "cus_1"}
    head = {"id": "in_1", "status": "paid", "created": "2024-01-01 00:00:00Z", "total": 6474, **flat}
    write_file(
        tmp_path / "invoices.csv",
        [*head, "status_transitions_finalized_at"],
        [{**head, "status_transitions_finalized_at": "2024-01-01 12:00:00Z"}],
    )
    discounts = '[{"amount": 999}, {"amount": 1}]'
    rows = [
        {"UNIQUE_ID": "il_1", "amount": 10001, "subscription_id": "sub_1", "discount_amounts": discounts},
        {"UNIQUE_ID": "il_2", "amount": -1234, "subscription_id": "sub_1", "period_end": MAR},
        {"UNIQUE_ID": "il_3", "amount": 700, "period_end": JAN},
        {"UNIQUE_ID": "il_4", "amount": "0.0", "type": "subscription"},
    ]
    rest = {"invoice_id": "in_1", "currency": "usd", "period_start": JAN, "period_end": f"{FEB}.0", "livemode": "t"}
    columns = list(dict.fromkeys(key for row in rows for key in {**rest, **row}))
    write_file(tmp_path / "invoice_line_items.parquet", columns, [rest | row for row in rows])
    note = {"id": "cn_1", "invoice_id": "in_1", "total": 1000, "created": MAR, "refund_id": "re_1", **flat}
    write_file(tmp_path / "credit_notes.csv", list(note), [note])
    assert read(tmp_path)[0] == GOLDEN


def test_drafts_voids_and_test_mode_are_set_aside_by_name(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "invoices.jsonl",
        *(invoice(f"in_{s}", line(f"il_{s}"), status=s) for s in ("draft", "void", "open", "uncollectible", "paid")),
        invoice("in_test", line("il_test", livemode=False), livemode=False),
    )
    void = {**NOTE, "id": "cn_void", "invoice": "in_paid", "status": "void"}
    jsonl(tmp_path / "credit_notes.jsonl", void, {**NOTE, "invoice": "in_void"})
    rows, aside = read(tmp_path)
    assert [row["revenue_id"] for row in rows] == ["il_open", "il_paid", "il_uncollectible"]
    assert aside == {"excluded:not_finalised|": 1, "excluded:test_mode|": 1, "excluded:void|": 3}


def test_an_invoice_exported_again_counts_once_and_in_its_last_state(tmp_path: Path) -> None:
    paid = [invoice("in_1", line("il_1"), status=state) for state in ("paid", "open")]
    drafted = [invoice("in_2", line("il_draft", 5), status="draft"), invoice("in_2", line("il_2", 7))]
    voided = [invoice("in_3", line("il_3"), status="void"), invoice("in_3", line("il_3"), status="open")]
    jsonl(tmp_path / "invoices/first.jsonl", paid[0], drafted[1], voided[0])
    jsonl(tmp_path / "invoices/second.jsonl", paid[1], drafted[0], voided[1])
    (first, copy, other), aside = read(tmp_path)
    assert (first["revenue_id"], other["revenue_id"]) == ("il_1", "il_2")
    assert first == copy  # so the rules count it as a duplicate
    assert aside == {"excluded:not_finalised|": 1, "excluded:void|": 2}


# Hand-computed: what Stripe's integer means in each currency. ISK and UGX come in hundredths, MGA comes whole.
MINOR = {
    "usd": (1299, "12.99"), "jpy": (1299, "1299"), "kwd": (5120, "5.12"), "isk": (500, "5"), "ugx": (500, "5"),
    "mga": (500, "500"), "huf": (1045, "10.45"), "twd": (80045, "800.45"), "krw": (-70, "-70"), "eur": (1, "0.01"),
}  # fmt: skip


@pytest.mark.parametrize("currency", MINOR)
def test_the_minor_unit_is_that_of_the_currency_as_stripe_counts_it(currency: str, tmp_path: Path) -> None:
    minor, major = MINOR[currency]
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", line(amount=minor, currency=currency), currency=currency))
    rows, _ = read(tmp_path)
    assert [(row["amount"], row["currency"]) for row in rows] == [(Decimal(major), currency.upper())]


def test_totals_by_currency_reconcile_to_the_cent(tmp_path: Path) -> None:
    hundredths = {"usd": 100, "eur": 100, "jpy": 1}
    invoices, notes, expected = [], [], Counter[str]()
    for number in range(300):
        currency = list(hundredths)[number % 3]
        amounts = [(number * 7919 + 13 * place) % 100_003 - 20_000 for place in range(3)]
        off = [amount // 7 if amount > 0 else 0 for amount in amounts]
        inclusive = number % 5
        lines = [
            line(
                f"il_{number}_{place}",
                amount,
                currency=currency,
                discount_amounts=[{"amount": off[place]}],
                taxes=[{"amount": inclusive, "tax_behavior": "inclusive"}, {"amount": 77, "tax_behavior": "exclusive"}],
            )
            for place, amount in enumerate(amounts)
        ]
        invoices.append(invoice(f"in_{number}", *lines, currency=currency))
        expected[currency] += sum(amounts) - sum(off) - 3 * inclusive
        if number % 10 == 0:
            without = {"id": f"cn_{number}", "total": number + 20, "total_excluding_tax": None, "currency": currency}
            notes.append({**NOTE, **without, "total_taxes": [{"amount": 20, "tax_behavior": "exclusive"}]})
            expected[currency] -= number
    jsonl(tmp_path / "invoices.jsonl", *invoices)
    jsonl(tmp_path / "credit_notes.jsonl", *notes)
    rows, _ = read(tmp_path)
    for currency, hundred in hundredths.items():
        assert sum(row["amount"] for row in rows if row["currency"] == currency.upper()) * hundred == expected[currency]


CUSTOMER = {"id": "cus_1", "email": CANARY, "metadata": {"account_id": "007", "workspace": "w7"}}


def test_the_metadata_of_the_customer_name_the_account(tmp_path: Path) -> None:
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", line()), invoice("in_2", line("il_2"), customer="cus_2"))
    jsonl(tmp_path / "customers.jsonl", CUSTOMER, {**CUSTOMER, "id": "cus_2", "metadata": {}})
    rows, aside = read(tmp_path)
    assert [row["account_id"] for row in rows] == ["007"]
    assert aside == {"unknown_account|account_id": 1}
    assert read(tmp_path, StripeParams(account_metadata="workspace"))[0][0]["account_id"] == "w7"
    assert len(read(tmp_path, StripeParams(account_metadata=None))[0]) == 2


def test_a_mapping_names_the_account_of_customers_whose_metadata_do_not(tmp_path: Path) -> None:
    customers = ["cus_1", {"id": "cus_2", "email": CANARY}, "cus_3"]
    jsonl(
        tmp_path / "invoices.jsonl",
        *(invoice(f"in_{n}", line(f"il_{n}"), customer=customer) for n, customer in enumerate(customers)),
    )
    links = [("cus_1", "wrong"), ("cus_2", "008"), ("cus_3", "a"), ("cus_3", "b")]
    write_file(tmp_path / "links.csv", ["Customer", "Account"], [{"Customer": c, "Account": a} for c, a in links])
    write_file(
        tmp_path / "customers.csv", ["id", "metadata_account_id"], [{"id": "cus_1", "metadata_account_id": "007"}]
    )
    mapping = CustomerMapping(file="links.csv", customer="Customer", account="Account")
    rows, aside = read(tmp_path, StripeParams(mapping=mapping))
    assert [row["account_id"] for row in rows] == ["007", "008"]
    assert aside == {"unknown_account|account_id": 1}  # two accounts claim cus_3


def test_customers_without_any_account_are_refused_rather_than_guessed(tmp_path: Path) -> None:
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", line()))
    write_file(tmp_path / "customers.csv", ["id", "email"], [{"id": "cus_1"}])
    with pytest.raises(ContractBroken, match=r'customers\.csv: neither "metadata" nor "metadata_account_id"'):
        read(tmp_path)


def test_lines_cut_off_by_the_api_are_refused(tmp_path: Path) -> None:
    cut = invoice("in_1", line())
    cut["lines"]["has_more"] = True
    jsonl(tmp_path / "invoices.jsonl", cut, invoice("in_2", line("il_2")))
    with pytest.raises(ContractBroken, match=r'invoices\.jsonl: column "lines": 1 of 2 invoices hold only their first'):
        read(tmp_path)


def test_invoices_without_their_lines_are_refused_or_counted(tmp_path: Path) -> None:
    flat = {"id": "in_1", "status": "paid", "total": 5, "customer": "cus_1", "created": JAN, "currency": "usd"}
    write_file(tmp_path / "a/invoices.csv", list(flat), [flat])
    with pytest.raises(ContractBroken, match=r'no "lines" and there is no table "invoice_line_items"'):
        read(tmp_path / "a")
    jsonl(tmp_path / "b/invoices.jsonl", invoice("in_1", line()), invoice("in_2", total=5), invoice("in_3", total=0))
    rows, aside = read(tmp_path / "b")
    assert (len(rows), aside) == (1, {"required_null|lines": 1})


def test_a_line_that_cannot_be_read_is_named_and_never_rounded_or_shown(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "invoices.jsonl",
        invoice("in_1", line("il_1", "12.5"), line("il_2", CANARY), line("il_3", discount_amounts=[{"amount": "x"}])),
        invoice("in_2", line("il_4"), status="strange"),
        invoice("in_3", line("il_5", currency=None), currency=None),
        invoice("in_4", line("il_6", discount_amounts=CANARY), line("il_7")),
    )
    rows, aside = read(tmp_path)
    assert [row["revenue_id"] for row in rows] == ["il_7"]
    assert aside == {
        "required_null|currency": 1,
        "unknown_kind|status": 1,
        "wrong_type|amount": 2,
        "wrong_type|discount_amounts": 2,
    }
    jsonl(
        tmp_path / "invoice_line_items.jsonl",
        {**line("il_9"), "invoice": "in_unknown"},
        {**line("il_8"), "invoice": "in_4"},
    )
    rows, aside = read(tmp_path)
    assert [row["revenue_id"] for row in rows] == ["il_8"]
    assert aside["required_null|invoice"] == 1


def test_the_same_subscription_line_on_two_old_invoices_is_two_rows(tmp_path: Path) -> None:
    old = line("sub_1", 500, **OLD_SUBSCRIPTION)
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", old), invoice("in_2", old))
    rows, _ = read(tmp_path)
    assert [row["revenue_id"] for row in rows] == ["in_1:sub_1", "in_2:sub_1"]


def test_a_credit_note_without_a_refund_is_a_credit(tmp_path: Path) -> None:
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", line()))
    jsonl(
        tmp_path / "credit_notes.jsonl",
        {**NOTE, "refunds": [], "refund": None},
        {**NOTE, "id": "cn_2", "invoice": None},
    )
    credit, alone, _ = read(tmp_path)[0]
    assert (credit["kind"], alone["kind"]) == ("credit", "refund")
    assert (alone["period_start"], alone["period_end"]) == (None, None)  # the rules spread it from booked_at


def test_nothing_but_the_contract_enters(tmp_path: Path) -> None:
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", line()))
    jsonl(tmp_path / "customers.jsonl", CUSTOMER)
    jsonl(tmp_path / "subscriptions.jsonl", {"id": "sub_1", "status": "active"})  # latest state: left alone
    with connect(tmp_path) as con:
        con.execute("CREATE SCHEMA ingest")
        found = stripe.sources(con, tmp_path, StripeParams(), READING)
        entered = [con.execute(source.query).fetchall() for source in found]
        kept = [
            con.execute(f"SELECT * FROM ingest.{t}").fetchall()
            for (t,) in con.execute("SHOW TABLES FROM ingest").fetchall()
        ]
    assert [source.table for source in found] == ["revenue", "source"]
    assert not any("subscriptions" in file for source in found for file in source.files)
    assert CANARY not in str(entered)
    assert CANARY not in str(kept)


def test_under_the_rules_copies_strangers_and_other_currencies_are_counted(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "invoices.jsonl",
        invoice("in_1", line("il_1"), line("il_2", period={"start": JAN, "end": JAN})),
        invoice("in_1", line("il_1"), status="open"),
        invoice("in_2", line("il_3", currency="eur"), currency="eur"),
        invoice("in_3", line("il_4"), status="draft"),
        invoice("in_4", line("il_5"), customer="cus_9"),
    )
    jsonl(tmp_path / "credit_notes.jsonl", {**NOTE, "invoice": None, "refunds": []})
    found = adapt(stripe.sources, tmp_path, StripeParams(), {"cus_1": "2020-01-01"}, currency="USD")
    assert only(found.rows["revenue"], "revenue_id", "amount", "kind", "booked_at", "period_start", "period_end") == [
        ("il_1", 10, "invoice", BOOKED, at("2024-01-01"), at("2024-02-01")),
        ("il_2", 10, "invoice", BOOKED, at("2024-01-01"), None),
        ("cn_1", -10, "credit", at("2024-03-01"), at("2024-03-01"), None),
    ]
    assert found.aside["revenue"] == {
        "duplicate": 1,
        "excluded:not_finalised|": 1,
        "foreign_currency|currency": 1,
        "unknown_account|account_id": 1,
    }


def test_a_change_of_any_table_that_was_read_is_seen(tmp_path: Path) -> None:
    jsonl(tmp_path / "invoices.jsonl", invoice("in_1", line()))
    jsonl(tmp_path / "credit_notes.jsonl", NOTE)
    jsonl(tmp_path / "customers.jsonl", CUSTOMER)
    write_file(tmp_path / "links.csv", ["c", "a"], [{"c": "cus_1", "a": "a1"}])
    params = StripeParams(mapping=CustomerMapping(file="links.csv", customer="c", account="a"))
    found = adapt(stripe.sources, tmp_path, params, {"007": "2020-01-01"})
    assert set(found.sources["revenue"].paths) == {
        "invoices.jsonl",
        "credit_notes.jsonl",
        "customers.jsonl",
        "links.csv",
    }
    assert not found.sources["revenue"].by_file
