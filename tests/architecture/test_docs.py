"""The surface and its pages cannot drift apart: every verb, route and word of the product is written down."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.source import ROOT, modules

VERBS = (
    *("demo", "simulate", "ingest", "features", "check", "train", "promote", "rollback", "score", "serve", "leads"),
    *("explain", "replay", "incentives", "prune", "doctor"),
)


def _commands() -> dict[str, ast.FunctionDef]:
    """Verb -> function, from the decorators of expansion.py."""
    found = {}
    for node in modules()["expansion.py"].body:
        if isinstance(node, ast.FunctionDef) and any(
            isinstance(d, ast.Call) and ast.unparse(d.func) == "app.command" for d in node.decorator_list
        ):
            decorator = next(d for d in node.decorator_list if isinstance(d, ast.Call))
            own = decorator.args[0].value if decorator.args and isinstance(decorator.args[0], ast.Constant) else None
            found[str(own or node.name.replace("_", "-"))] = node
    return found


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


def test_every_verb_that_others_rely_on_is_there() -> None:
    assert set(VERBS) <= set(_commands())


@pytest.mark.parametrize("verb", sorted(_commands()))
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert re.search(rf"\bexpansion {verb}\b|`{verb}[` ]", (ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("verb", sorted(_commands()))
def test_every_verb_answers_in_json_on_demand(verb: str) -> None:
    assert "as_json" in {argument.arg for argument in _commands()[verb].args.args}


@pytest.mark.parametrize("verb", sorted(_commands()))
def test_every_verb_says_what_it_does(verb: str) -> None:
    assert ast.get_docstring(_commands()[verb])


@pytest.mark.parametrize("route", _routes())
def test_every_route_is_in_the_pages(route: str) -> None:
    place = re.escape(re.sub(r"{\w+}", "{}", route)).replace(r"\{\}", r"[{<]?\w+[}>]?")
    assert re.search(rf"(?<![\w/]){place}(?![\w/])", _pages()), f"{route} is in no page"


def test_links_between_the_pages_lead_somewhere() -> None:
    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not broken
