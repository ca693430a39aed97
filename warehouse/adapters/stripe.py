"""Stripe invoices, their lines and credit notes, as the API gives them or as a warehouse sync flattens them: revenue.

A row of revenue is a line of a finalised invoice, net of discounts and without tax, or a credit note. Subscriptions and
prices are latest state and are never read: what a customer paid for, and when, stands in the lines.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from warehouse import rules
from warehouse.adapters import Source, files
from warehouse.adapters.stripe_fields import Copied, copy, inside, integer, moment, reference, total
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken
from warehouse.money import to_major
from warehouse.params import Section
from warehouse.raw import REVENUE

# A later state never goes back to an earlier one, so of two exports of an invoice the higher rank is the newer.
STATES = {"deleted": 0, "draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 4}
FALSE = ("false", "f", "0")
FINAL = ("open", "uncollectible", "paid")
# Where Stripe departs from ISO 4217: ISK and UGX have no minor unit but come in hundredths, MGA comes whole.
LIKE_CENTS, WHOLE = ("ISK", "UGX"), ("MGA",)


class CustomerMapping(Section):
    """A table of the raw folder that says which account a customer is; `customer`, `account`: its columns."""

    file: str
    customer: str
    account: str


class StripeParams(Section):
    """invoices, lines, credit_notes, customers: names of the tables; only invoices must be there.

    account_metadata: key of the customers' metadata that holds the account; null leaves `customers` unread.
    mapping: used for customers whose metadata name no account. Without either, the customer id is the account.
    """

    invoices: str = "invoices"
    lines: str = "invoice_line_items"
    credit_notes: str = "credit_notes"
    customers: str = "customers"
    account_metadata: str | None = "account_id"
    mapping: CustomerMapping | None = None


def sources(con: duckdb.DuckDBPyConnection, raw: Path, params: StripeParams, reading: rules.Reading) -> list[Source]:
    """Revenue, and one source of table "source" for the tables that only link customers to accounts, if there are any.

    Raises:
        ContractBroken: no invoices, a missing column, an unreadable file, or invoices that hold only their first lines.
    """
    invoices = copy(con, raw, params.invoices, "invoices", _INVOICE.split(), [["id"], ["status"]])
    if invoices is None:
        raise ContractBroken([f"{raw}: {params.invoices} is missing (ingest.stripe.invoices)."])
    needed = [["id", "unique_id"], ["amount"], ["invoice", "invoice_id"]]
    lines = copy(con, raw, params.lines, "lines", _LINE.split(), needed)
    notes = copy(con, raw, params.credit_notes, "notes", _NOTE.split(), [["id"], ["created"]])
    links = _links(con, raw, params)
    con.execute(f"CREATE TABLE ingest.stripe_invoice AS {_invoices(invoices)}")
    con.execute(f"CREATE TABLE ingest.stripe_state AS {_STATE}")
    if lines is None:
        _whole(con, invoices, params)
    con.execute(f"CREATE TABLE ingest.stripe_line AS {_nested(con) if lines is None else _separate(lines)}")
    con.execute("DROP TABLE ingest.stripe_invoices; DROP TABLE ingest.stripe_invoice; DROP TABLE ingest.stripe_lines")
    account = "a.account" if links else "q.customer"
    query = f"""
        WITH q AS ({_revenue(_booked_lines())} UNION ALL {_revenue(_LOST_LINES)}
            {f"UNION ALL {_revenue(_credit_notes(notes))}" if notes is not None else ""})
        SELECT q._file, q._line, q.revenue_id, {account} AS account_id, q.amount, q.currency, q.booked_at,
            q.period_start, CASE WHEN q.period_end <> q.period_start THEN q.period_end END AS period_end, q.kind,
            coalesce(q._breach, CASE WHEN {account} IS NULL AND q.customer IS NOT NULL
                THEN 'unknown_account|account_id' END) AS _breach
        FROM q {"LEFT JOIN ingest.stripe_account AS a ON a.customer = q.customer" if links else ""}"""
    read = [table for table in (invoices, lines, notes) if table is not None]
    revenue = Source(
        "revenue",
        query,
        _COLUMNS,
        tuple(file for table in read for file in table.files),
        tuple(sorted({column for table in read for column in table.extra})),
        tuple(reject for table in read for reject in table.rejects),
        judged=True,
        paths={label: path for table in [*read, *links] for label, path in table.paths.items()},
    )
    return [revenue, _feed(links)] if links else [revenue]


_COLUMNS = {column.name: "VARCHAR" for column in REVENUE.columns} | {"amount": "DECIMAL(18,4)"}
_INVOICE = """id status livemode currency customer customer_id status_transitions status_transitions_finalized_at
    finalized_at created date total lines"""
_LINE = """id unique_id unique_line_item_id invoice invoice_id amount currency livemode period period_start period_end
    type discount_amounts taxes tax_amounts subscription subscription_id parent"""
_NOTE = """id invoice invoice_id customer customer_id amount total total_excluding_tax total_taxes tax_amounts currency
    created livemode status refund refund_id refunds"""


def _links(con: duckdb.DuckDBPyConnection, raw: Path, params: StripeParams) -> list[Copied]:
    """Makes `ingest.stripe_account`: customer, account; nothing when no table links them. The mapping serves customers
    without the metadata; one with two accounts gets none."""
    found, queries = [], []
    mapped = None if params.mapping is None else files.stem_of(Path(params.mapping.file)) or params.mapping.file
    if params.account_metadata is not None and mapped != params.customers:
        flat = f"metadata_{params.account_metadata}".lower()
        customers = copy(con, raw, params.customers, "customers", ["id", "metadata", flat], [["id"]])
        if customers is not None and mapped is None and len(customers.columns) < 2:
            raise ContractBroken(
                [
                    f'{customers.files[0]}: neither "metadata" nor "{flat}" is there to name the account. Give '
                    "ingest.stripe.mapping, or set ingest.stripe.account_metadata to null: then the customer is the "
                    "account."
                ]
            )
        if customers is not None:
            key = '"' + params.account_metadata.replace('"', '\\"') + '"'
            account = customers.value(flat, f"metadata.{key}")
            queries.append(f"SELECT 1 AS place, id AS customer, {account} AS account FROM ingest.stripe_customers")
            found.append(customers)
    if params.mapping is not None and mapped is not None:
        own = [params.mapping.customer.lower(), params.mapping.account.lower()]
        mapping = copy(con, raw, mapped, "mapping", own, [[column] for column in own])
        if mapping is None:
            raise ContractBroken([f"{raw}: {params.mapping.file} is missing (ingest.stripe.mapping.file)."])
        queries.append(
            f"SELECT 2 AS place, {name(own[0])} AS customer, {name(own[1])} AS account FROM ingest.stripe_mapping"
        )
        found.append(mapping)
    if queries:
        con.execute(f"""
            CREATE TABLE ingest.stripe_account AS
            SELECT customer, CASE WHEN count(DISTINCT account) = 1 THEN min(account) END AS account FROM (
                SELECT * FROM ({" UNION ALL ".join(queries)}) WHERE account IS NOT NULL
                QUALIFY place = min(place) OVER (PARTITION BY customer)
            ) GROUP BY customer""")
    return found


def _feed(links: list[Copied]) -> Source:
    """Their files and rows for the books alone; what is in them comes in with the revenue."""
    return Source(
        "source",
        " UNION ALL ".join(f"SELECT _file FROM ingest.{table.table}" for table in links),
        {},
        tuple(file for table in links for file in table.files),
        rejects=tuple(reject for table in links for reject in table.rejects),
    )


def _invoices(read: Copied) -> str:
    ranks = " ".join(f"WHEN {quote(state)} THEN {rank}" for state, rank in STATES.items())
    booked = read.value("status_transitions.finalized_at", "status_transitions_finalized_at", "finalized_at")
    return f"""
        SELECT _file, _line, id, lower(status) AS status, CASE lower(status) {ranks} ELSE -1 END AS rank,
            lower({read.value("livemode")}) IN {FALSE} AS test, upper({read.value("currency")}) AS currency,
            {reference(read.value("customer", "customer_id"))} AS customer,
            {moment(f"coalesce({booked}, {read.value('created', 'date')})")} AS booked,
            {integer(read.value("total"))} AS total, {read.value("lines")} AS lines
        FROM ingest.{read.table}"""


_STATE = """
    SELECT * EXCLUDE (lines) FROM ingest.stripe_invoice
    QUALIFY 1 = row_number() OVER (
        PARTITION BY id ORDER BY rank DESC, booked, currency, customer, test, _file, _line
    )"""


def _whole(con: duckdb.DuckDBPyConnection, invoices: Copied, params: StripeParams) -> None:
    """Refuses invoices without their lines, or where the API cut the list off: amounts would be lost unseen."""
    if "lines" not in invoices.columns:
        raise ContractBroken(
            [
                f'{invoices.files[0]}: the invoices have no "lines" and there is no table "{params.lines}" '
                "(ingest.stripe.lines). Deliver one of the two."
            ]
        )
    more = inside("lines", ["has_more"])
    [(cut, count)] = con.execute(
        f"SELECT count(*) FILTER (WHERE {more} = 'true' AND status IN {FINAL} AND test IS NOT true), count(*) "
        "FROM ingest.stripe_invoice"
    ).fetchall()
    if cut:
        raise ContractBroken(
            [
                f'{", ".join(invoices.files[:3])}: column "lines": {cut:,} of {count:,} invoices hold only their first '
                f"lines (has_more). Deliver all lines as {params.lines} beside the invoices."
            ]
        )


def _nested(con: duckdb.DuckDBPyConnection) -> str:
    """SQL for the lines inside the invoices, made columns by one pass over the JSON."""
    names = _LINE.split()
    shape = json.dumps({"data": [dict.fromkeys(names, "VARCHAR")]})
    items = f"from_json(CASE WHEN json_valid(lines) THEN lines END, {quote(shape)}).data"
    con.execute(f"""
        CREATE TABLE ingest.stripe_lines AS SELECT _file, _line, of_invoice, draft, unnest(item) FROM (
            SELECT _file, _line, id AS of_invoice, status IN ('draft', 'deleted') AS draft, unnest({items}) AS item
            FROM ingest.stripe_invoice)""")
    # A draft's lines may still change, so they stay drafts though the invoice was finalised since.
    return _lines(Copied("stripe_lines", (), (), (), {}, frozenset(names)), "of_invoice", "draft")


def _separate(read: Copied) -> str:
    return _lines(read, reference(read.value("invoice", "invoice_id")), "false")


def _lines(read: Copied, invoice: str, draft: str) -> str:
    field = read.value
    details = ("subscription_item_details", "invoice_item_details")  # since 2025-03-31 the link is below `parent`
    subscription = field("subscription", "subscription_id", *(f"parent.{kind}.subscription" for kind in details))
    inclusive = (
        "coalesce((x ->> '$.tax_behavior') = 'inclusive', false) OR coalesce((x ->> '$.inclusive') = 'true', false)"
    )
    return f"""
        SELECT _file, _line, {invoice} AS invoice, {draft} AS draft,
            {field("unique_line_item_id", "unique_id", "id")} AS id, {field("amount")} AS amount,
            {total(field("discount_amounts"))} AS discount, {total(field("taxes", "tax_amounts"), inclusive)} AS tax,
            upper({field("currency")}) AS currency, lower({field("livemode")}) IN {FALSE} AS test,
            {moment(field("period.start", "period_start"))} AS period_start,
            {moment(field("period.end", "period_end"))} AS period_end,
            {subscription} IS NOT NULL OR coalesce({field("type")} = 'subscription', false) AS subscribed
        FROM ingest.{read.table}"""


def _booked_lines() -> str:
    # Before 2019 the id of a subscription's line was the subscription's, the same on each of its invoices.
    return f"""
        SELECT l._file, l._line, CASE WHEN l.id LIKE 'sub\\_%' ESCAPE '\\' THEN l.invoice || ':' || l.id ELSE l.id END
                AS revenue_id, i.customer, l.amount AS told, {integer("l.amount")} - l.discount - l.tax AS minor,
            coalesce(l.currency, i.currency) AS currency, i.booked AS booked_at, l.period_start, l.period_end,
            CASE WHEN {integer("l.amount")} - l.discount < 0 THEN 'credit' WHEN l.subscribed THEN 'subscription'
                ELSE 'invoice' END AS kind,
            CASE WHEN l.test OR i.test THEN 'excluded:test_mode|' WHEN i.id IS NULL THEN 'required_null|invoice'
                WHEN i.status = 'void' THEN 'excluded:void|'
                WHEN l.draft OR i.status IN ('draft', 'deleted') THEN 'excluded:not_finalised|'
                WHEN i.status IS NULL THEN 'required_null|status'
                WHEN i.status NOT IN {FINAL} THEN 'unknown_kind|status'
                WHEN l.discount IS NULL THEN 'wrong_type|discount_amounts' WHEN l.tax IS NULL THEN 'wrong_type|taxes'
            END AS found
        FROM ingest.stripe_line AS l LEFT JOIN ingest.stripe_state AS i ON i.id = l.invoice"""


_LOST_LINES = f"""
    SELECT _file, _line, id, customer, CAST(total AS VARCHAR), total, currency, booked, CAST(NULL AS VARCHAR),
        CAST(NULL AS VARCHAR), 'invoice', 'required_null|lines'
    FROM ingest.stripe_state AS i
    WHERE status IN {FINAL} AND test IS NOT true AND total IS DISTINCT FROM 0
        AND NOT EXISTS (SELECT 1 FROM ingest.stripe_line AS l WHERE l.invoice = i.id)"""


def _credit_notes(read: Copied) -> str:
    gross, net = read.value("total", "amount"), read.value("total_excluding_tax")
    minor = f"coalesce({integer(net)}, {integer(gross)} - {total(read.value('total_taxes', 'tax_amounts'))})"
    refund = f"coalesce({read.value('refund', 'refund_id')}, nullif({read.value('refunds')}, '[]'))"
    return f"""
        SELECT n._file, n._line, n.id, coalesce(n.customer, i.customer), n.told, -n.minor,
            coalesce(n.currency, i.currency), n.booked, p.period_start, p.period_end, n.kind,
            CASE WHEN n.test OR i.test THEN 'excluded:test_mode|'
                WHEN n.status = 'void' OR i.status = 'void' THEN 'excluded:void|'
                WHEN i.status IN ('draft', 'deleted') THEN 'excluded:not_finalised|' END
        FROM (
            SELECT _file, _line, id, {reference(read.value("customer", "customer_id"))} AS customer,
                {reference(read.value("invoice", "invoice_id"))} AS invoice, coalesce({net}, {gross}) AS told,
                {minor} AS minor, upper({read.value("currency")}) AS currency,
                {moment(read.value("created"))} AS booked,
                lower({read.value("livemode")}) IN {FALSE} AS test, lower({read.value("status")}) AS status,
                CASE WHEN {refund} IS NOT NULL THEN 'refund' ELSE 'credit' END AS kind
            FROM ingest.{read.table}
        ) AS n LEFT JOIN ingest.stripe_state AS i ON i.id = n.invoice
        LEFT JOIN (
            SELECT invoice, min(period_start) AS period_start, max(period_end) AS period_end
            FROM ingest.stripe_line GROUP BY invoice
        ) AS p ON p.invoice = n.invoice"""


def _revenue(rows: str) -> str:
    """`rows` (in the order of `_booked_lines`) with the amount in major units and the breaches of that."""
    # `to_major` counts two digits for a currency it is not told, none for the yen
    counted = (
        f"CASE WHEN currency IN {LIKE_CENTS} THEN NULL WHEN currency IN ('{WHOLE[0]}') THEN 'JPY' ELSE currency END"
    )
    columns = (
        "_file, _line, revenue_id, customer, told, minor, currency, booked_at, period_start, period_end, kind, found"
    )
    return f"""
        SELECT _file, _line, revenue_id, customer, amount, currency, booked_at, period_start, period_end, kind,
            coalesce(found, CASE WHEN currency IS NULL THEN 'required_null|currency'
                WHEN told IS NOT NULL AND amount IS NULL THEN 'wrong_type|amount' END) AS _breach
        FROM (SELECT *, {to_major("minor", f"({counted})")} AS amount FROM ({rows}) AS r({columns}))"""
