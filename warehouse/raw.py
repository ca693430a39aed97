"""The contract of the raw tables, declared once: columns, types, units, keys, both clocks, rules.

`docs/data-contract.md` is generated from here (`python -m warehouse.raw`). Inside the warehouse every timestamp is a
UTC TIMESTAMP, every id a string, every amount a DECIMAL(18, 4) in the one currency of `tiers.currency`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["text", "timestamp", "number", "money", "rate", "integer", "flag"]
SQL_TYPES: dict[Type, str] = {
    "text": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "number": "DECIMAL(18, 4)",
    "money": "DECIMAL(18, 4)",
    "rate": "DECIMAL(18, 8)",
    "integer": "BIGINT",
    "flag": "BOOLEAN",
}


@dataclass(frozen=True)
class Column:
    """One column. `required`: the file must have it and no row may leave it null. `default`: SQL over the row's other
    columns, used where the file lacks the column or the row leaves it null. `told_once`: of a restated table, what the
    earliest telling said holds, null too; features read it at any date, and a later telling knows their future."""

    name: str
    type: Type
    meaning: str
    required: bool = False
    default: str | None = None
    choices: tuple[str, ...] = ()
    told_once: bool = False


@dataclass(frozen=True)
class RawTable:
    """One raw table. `happened` and `known` are its two clocks. `key`: rows equal in its columns are one fact; where
    one of them is absent or null, or there is none, the whole row is the key. `optional`: the folder may lack the
    table. `by_month`: kept in one Parquet file a month of `happened`, so that a new day touches one of them.
    `restated`: a later file (by name) may tell a row anew, and the last telling holds, except for columns told once.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    happened: str
    known: str
    meaning: str
    optional: bool = False
    by_month: bool = False
    restated: bool = False

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.required)

    @property
    def keyed(self) -> str:
        """SQL: whether a row has its key."""
        return " AND ".join(f"{column} IS NOT NULL" for column in self.key) or "false"

    @property
    def key_hash(self) -> str:
        """SQL: one number a key; meaningless for a row without one."""
        return f"hash({', '.join(self.key)})"

    @property
    def always_keyed(self) -> bool:
        """Whether no accepted row can lack the key."""
        return bool(self.key) and all(self.column(column).required for column in self.key)

    @property
    def told_once(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.told_once)


ACCOUNTS = RawTable(
    "accounts",
    (
        Column("account_id", "text", "the vendor's id of the account; a string for ever", required=True),
        Column("created_at", "timestamp", "sign-up", required=True, told_once=True),
        Column("closed_at", "timestamp", "closed for good; null while open"),
        Column("plan", "text", "plan today; a latest state, so never a feature"),
        Column("industry", "text", "as told at sign-up", told_once=True),
        Column("country", "text", "as told at sign-up", told_once=True),
        Column("employees", "integer", "as told at sign-up", told_once=True),
        Column("channel", "text", "where the sign-up came from", told_once=True),
        Column("owner", "text", "salesperson; shown with leads, never a feature"),
        Column("is_internal", "flag", "the vendor's own or a test account, never scored; null: nobody has said"),
    ),
    key=("account_id",),
    happened="created_at",
    known="created_at",
    meaning="one row an account",
    restated=True,
)
EVENTS = RawTable(
    "events",
    (
        Column("event_id", "text", "id that survives redelivery"),
        Column("account_id", "text", "account that acted", required=True),
        Column("user_id", "text", "user that acted; null for machines"),
        Column("event_name", "text", "what was done", required=True),
        Column("occurred_at", "timestamp", "when it happened", required=True),
        Column("received_at", "timestamp", "when the vendor knew of it", default="occurred_at"),
        Column("quantity", "number", "how much of it", default="1"),
    ),
    key=("event_id",),
    happened="occurred_at",
    known="received_at",
    meaning="one row a product event",
    by_month=True,
)
REVENUE = RawTable(
    "revenue",
    (
        Column("revenue_id", "text", "id of the invoice or invoice line"),
        Column("account_id", "text", "account that pays", required=True),
        Column("amount", "money", "signed; credits and refunds are negative", required=True),
        Column(
            "currency", "text", "ISO code; null means `tiers.currency`, any other stops features, training and scoring"
        ),
        Column("booked_at", "timestamp", "when it was booked, hence known", required=True),
        Column("period_start", "timestamp", "first day served, included", default="booked_at"),
        Column(
            "period_end",
            "timestamp",
            "last day served, excluded; 23:59 of a day or later counts as the midnight after it, unless period_start "
            "lies in that minute too; null: `tiers.spread_days` from period_start",
        ),
        Column(
            "kind",
            "text",
            "what sort of row",
            default="'invoice'",
            choices=("invoice", "subscription", "credit", "refund"),
        ),
    ),
    key=("revenue_id",),
    happened="booked_at",
    known="booked_at",
    meaning="one row an amount booked",
    by_month=True,
)
CONTACTED, HELD_OUT, RANDOM = "contacted", "held_out", "random"  # kinds of a touch
TOUCHES = RawTable(
    "touches",
    (
        Column("account_id", "text", "account contacted", required=True),
        Column("occurred_at", "timestamp", "when", required=True),
        Column("channel", "text", "by what means"),
        Column("owner", "text", "by whom"),
        Column(
            "kind",
            "text",
            "contacted: chosen by sales; random: contacted by lot; held_out: left alone by lot; null: contacted",
            choices=(CONTACTED, HELD_OUT, RANDOM),
        ),
    ),
    key=(),
    happened="occurred_at",
    known="occurred_at",
    meaning="one row a sales touch",
    optional=True,
)
ACCOUNT_USERS = RawTable(
    "account_users",
    (
        Column("account_id", "text", "account", required=True),
        Column("user_id", "text", "user", required=True),
        Column("valid_from", "timestamp", "user joined; if that was known later, when it was", required=True),
        Column("valid_to", "timestamp", "user left; null while there"),
        Column("role", "text", "role in the account"),
    ),
    key=(),
    happened="valid_from",
    known="valid_from",
    meaning="one row a stay of a user in an account",
    optional=True,
)
FX_RATES = RawTable(
    "fx_rates",
    (
        Column("day", "timestamp", "from which day the rate holds, included", required=True),
        Column("currency", "text", "ISO code of the foreign currency", required=True),
        Column("rate", "rate", "units of `ingest.currency` for one unit of it, more than zero", required=True),
    ),
    key=("currency", "day"),
    happened="day",
    known="day",
    meaning="one row a day and currency; read when `ingest.currency` is set and amounts come in others",
    optional=True,
)
TABLES: dict[str, RawTable] = {t.name: t for t in (ACCOUNTS, EVENTS, REVENUE, TOUCHES, ACCOUNT_USERS)}
DELIVERED = TABLES | {FX_RATES.name: FX_RATES}  # what a folder may hold; the rates are read and not kept


def contract() -> str:
    """The contract as the text of `docs/data-contract.md`."""
    out = [_HEAD]
    for table in DELIVERED.values():
        key = " and ".join(f"`{column}`" for column in table.key) or "all columns"
        key += ", for rows without one all columns" if table.key and not table.always_keyed else ""
        out += [f"## {table.name}{' (optional)' if table.optional else ''}", ""]
        out += [f"{table.meaning[0].upper()}{table.meaning[1:]}. Key: {key}.", ""]
        out += [f"Happened: `{table.happened}`. Known: `{table.known}`.", ""]
        out += ["| column | type | required | when null or absent | meaning |", "|---|---|---|---|---|"]
        out += [_described(column) for column in table.columns]
        out.append("")
    return "\n".join([*out, _RULES])


def _described(column: Column) -> str:
    absent = "refused" if column.required else f"`{column.default}`" if column.default else "null"
    meaning = column.meaning + (f" ({', '.join(column.choices)})" if column.choices else "")
    return f"| `{column.name}` | {column.type} | {'yes' if column.required else ''} | {absent} | {meaning} |"


_HEAD = """# Data contract

What a folder of raw tables must hold. Generated by `python -m warehouse.raw`; change `warehouse/raw.py`, not this page.

A table is one file `<table>` that ends in `.csv`, `.csv.gz`, `.parquet`, `.jsonl`, `.ndjson` or `.json` (one JSON
object per line; these with `.gz` too), or a folder `<table>/` of such files at any depth. CSV is UTF-8 with commas,
double quotes and a header line. Other shapes are mapped by an adapter: see [adapters/](adapters/). Columns not listed
are not read; they are named once in the output. Other files and folders beside the tables are ignored: not opened, not
counted. A link that leads out of the folder is refused. A line holds at most 16 MiB, a file at most 1,000 columns.

A file `SHA256SUMS`, as `sha256sum` writes it, is trusted: a file with a different hash is refused. Page checksums of
Parquet are verified where the writer stored them.

- **text**: kept unchanged. An id is always text, so `007` stays `007`. Blank is null. Currencies are upper-cased.
  A data frame stores whole numbers beside an empty one as floats. Such a Parquet float is read as the integer: 7.0 is
  `7`, NaN is null. One that is not whole, or is beyond 2^53 (for 32 bits 2^24), may be another id and is refused.
- **timestamp**: ISO 8601 (`2024-03-01 09:00`, `2024-03-01T09:00:00.25+02:00`, `...Z`). One with `Z` or an offset (up to
  14 hours) is converted to UTC; one without is in `ingest.timezone` (null: refused). A date alone (`2024-03-01`, or the
  type DATE) is that day, from midnight UTC, whatever `ingest.timezone` is; with `00:00` after it, it is a moment like
  any other. Epoch seconds are not timestamps; the adapter `columns` reads them.
- **number**, **money**: a finite decimal such as `12`, `-0.5`, `1e3`, kept to four places. Not `1,000`, `1_000`, `inf`,
  `0x10`. Money is in major units; the adapter `columns` reads integer minor units. **rate**: the same to eight places.
- **integer**, **flag**: a whole number; `true`, `false`, `1`, `0`, `yes`, `no`, `t`, `f`, `y`, `n`.

Each Parquet file of a table is read with its own types, so the files beside it change nothing.

Every fact has two clocks: when it happened and when the vendor knew of it. Features as of a date see only rows known
before that date.
"""
_RULES = """## What happens to each row

Per file, `read = accepted + duplicate + quarantined`. The first rule that a row breaks names it:

| rule | breaks it |
|---|---|
| `erased` | an account or user that `expansion erase` took out; asked before all others; breaks no limit |
| `malformed` | a CSV line that cannot be split into the columns of the header; a line that is no JSON object |
| `null_key` | a blank id in a required id column |
| `wrong_type` | a value that is not of the column's type |
| `naive_timestamp` | no zone on a timestamp while `ingest.timezone` is null |
| `unknown_kind` | a value outside the listed choices |
| `required_null` | a blank value in another required column |
| `ancient` | a clock before 1980 |
| `future` | a clock later than now plus `ingest.future_tolerance_minutes` |
| `reversed_period` | `period_end` not after `period_start`; `closed_at` or `valid_to` before its start |
| `wrong_sign` | an invoice or subscription below zero, a credit or refund above; a rate that is not positive |
| `foreign_currency` | a currency other than `ingest.currency`, and no `fx_rates` |
| `no_rate` | no rate of the currency within `ingest.fx_max_age_days` before the booking |
| `mixed_currency` | no declared currency, and not the currency of most rows |
| `unknown_account` | an account that is not among the accepted accounts |
| `before_signup` | an event or an amount dated before the account's `created_at` |
| `conflicting_duplicate` | the key of another row with other content; the earliest known row is kept |
| `excluded:<name>` | an exclusion declared in the params or by an adapter; breaks no limit |

A row equal to an accepted one in key and content is a duplicate: counted, not kept. When it was received does not
count as content. If a later file (by name) states an account again, the later row is used and the earlier one is a
duplicate. But `created_at`, `industry`, `country`, `employees` and `channel` keep the values of the earliest file, null
included: features of all dates read them, and a later value would reveal the future to earlier dates. If a file is
rewritten, its earlier values are lost, so deliver changes in a new file. Accounts that a rewritten file changed are
counted (`retold`).

A rule broken by more than `ingest.max_bad_ratio` of a table's rows (0.1 %; by rule `ingest.max_ratio`;
`unknown_account` 2 %) stops the run with exit code 3 and leaves the live warehouse as it was. The new and replaced
files of events must also keep these shares on their own, beyond `ingest.allowance` rows. Quarantined rows are in
`quarantine/<table>.parquet` of the workspace: file, line, table, rule, column, account, part (year and month it
happened) and the shape of the refused value (letters as `a`, digits as `9`), never the value; of rule `erased` the
place alone, without account and shape. A missing table or column, an empty or unreadable file, a file that changes
while it is read, and a folder without a single account stop the run too.

## What is kept

| of | is kept |
|---|---|
| the columns above | as typed; nothing else is read |
| `user_id` | a keyed hash; the key is `.privacy-key` of the workspace, for its owner alone |
| events, revenue | one Parquet file a month of `occurred_at` or `booked_at`, the other tables one file |
| an erased account or user | a keyed hash and the day, in `erased.json`; by whom, in `audit.jsonl` |
| `manifest.json` | what it was built from: size, time, SHA-256 of each file, and its counts by month and rule |
"""

if __name__ == "__main__":
    print(contract())
