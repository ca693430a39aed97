"""The surface and its pages cannot drift apart: every verb, route and word of the product is written down."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable

import pytest

import expansion
from tests.architecture.source import ROOT, modules

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
OUTSIDE = re.compile(r"\bR\d+[a-f]?\b|\bthe reference\b")


def _commands() -> dict[str, Callable[..., None]]:
    """Verb -> function, as the command line knows them."""
    registered = [(one.name, one.callback) for one in expansion.app.registered_commands]
    return {name or run.__name__.replace("_", "-"): run for name, run in registered if run is not None}


def _routes() -> list[str]:
    """Paths of the FastAPI app, from `app.get("...")` and its like."""
    routes = []
    for path, tree in modules().items():
        if path.startswith("serving/"):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and re.fullmatch(
                    r"app\.(get|post|put|delete|patch)", ast.unparse(node.func)
                ):
                    routes.append(re.sub(r":path}", "}", ast.literal_eval(node.args[0])))
    return sorted(set(routes))


def _pages() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_every_verb_of_the_readme_is_there() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## All verbs")[1].split("\n## ")[0]
    told = {cell for row in re.findall(r"^\| (`.+?) \| ", table, re.M) for cell in re.findall(r"`([a-z]+)", row)}
    assert told == set(_commands())


@pytest.mark.parametrize("verb", sorted(_commands()))
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert re.search(rf"\bexpansion {verb}\b|`{verb}[` ]", (ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("verb", sorted(_commands()))
def test_every_verb_answers_in_json_on_demand(verb: str) -> None:
    assert "as_json" in inspect.signature(_commands()[verb]).parameters


@pytest.mark.parametrize("verb", sorted(_commands()))
def test_every_verb_says_what_it_does(verb: str) -> None:
    assert inspect.getdoc(_commands()[verb])


@pytest.mark.parametrize("route", _routes())
def test_every_route_is_in_the_pages(route: str) -> None:
    place = re.escape(re.sub(r"{\w+}", "{}", route)).replace(r"\{\}", r"[{<]?\w+[}>]?")
    assert re.search(rf"(?<![\w/]){place}(?![\w/])", _pages()), f"{route} is in no page"


def test_links_between_the_pages_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not broken


def test_every_row_of_a_table_ends_where_its_line_ends() -> None:
    """A line break inside a row ends the table, and a reader sees bars."""
    open_rows = []
    for page in PAGES:
        plain = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        rows = [line.rstrip() for line in plain.splitlines() if line.startswith("|")]
        open_rows += [f"{page.relative_to(ROOT)}: {row}" for row in rows if not row.endswith("|")]
    assert not open_rows


def test_nothing_refers_to_a_document_that_is_not_here() -> None:
    """R1 to R10 are promises of the README, which alone speaks of them."""
    written = [page for page in PAGES if page != ROOT / "README.md"]
    written += [ROOT / name for name in modules()] + [ROOT / "params.yaml"]
    found = {path.relative_to(ROOT).as_posix(): OUTSIDE.findall(path.read_text(encoding="utf-8")) for path in written}
    assert not {name: named for name, named in found.items() if named}
