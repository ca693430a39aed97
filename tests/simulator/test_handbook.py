"""The page about the simulator says what the code does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from simulator.faults import Faults
from simulator.handbook import renewed
from simulator.market import Market
from simulator.worlds import WORLDS

PAGE = (Path(__file__).parents[2] / "docs/simulator.md").read_text(encoding="utf-8")


def test_the_generated_tables_are_those_of_the_code() -> None:
    assert renewed(PAGE) == PAGE, "run `make docs`"


def test_every_parameter_world_and_fault_is_on_the_page_with_unit_and_source() -> None:
    for name in (*(entry.name for entry in fields(Market)), *WORLDS, *Faults.model_fields):
        assert f"| `{name}` |" in PAGE, name
    assert all(entry.metadata["unit"] and entry.metadata["source"] for entry in fields(Market))


def test_every_picture_is_there() -> None:
    folder = Path(__file__).parents[2] / "docs"
    for picture in ("life", "revenue", "seasons"):
        assert f"(simulator/{picture}.png)" in PAGE
        assert (folder / "simulator" / f"{picture}.png").stat().st_size < 200_000


def test_a_page_without_a_marker_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="<!-- worlds -->"):
        renewed(PAGE.replace("<!-- worlds -->", ""))
