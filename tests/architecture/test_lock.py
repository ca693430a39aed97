"""requirements.lock: pinned, hashed, free of any index, whole, and above every known hole."""

from __future__ import annotations

import re
import tomllib
import warnings
from datetime import date
from functools import cache
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.architecture.source import ROOT, importers

PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^ ;\\]+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
FLOORS = tomllib.loads((ROOT / "security-floor.toml").read_text())
REVIEW_DAYS = 90


@cache
def _lock() -> dict[str, tuple[list[Version], int]]:
    """Package -> versions (one a marker) and number of hashes."""
    pins: dict[str, tuple[list[Version], int]] = {}
    name = ""
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if found := PIN.match(line):
            name = canonicalize_name(found[1])
            versions, hashes = pins.get(name, ([], 0))
            pins[name] = ([*versions, Version(found[2])], hashes)
        elif HASH.match(line):
            versions, hashes = pins[name]
            pins[name] = (versions, hashes + 1)
        else:
            assert not line.strip() or line.lstrip().startswith("#"), f"neither a pin, a hash nor a comment: {line}"
    return pins


def _declared() -> list[Requirement]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in [*project["dependencies"], *(text for extra in extras for text in extra)]]


def test_every_pin_has_a_hash() -> None:
    assert len(_lock()) > 50
    assert not [name for name, (versions, hashes) in _lock().items() if hashes < len(versions)]


def test_the_lock_names_no_index_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.findall(
        r"^.*(?:://|--index|--extra-index|-i |--find-links|--trusted-host| @ ).*$", text, re.MULTILINE
    )


@pytest.mark.parametrize("requirement", _declared(), ids=str)
def test_what_is_declared_is_locked_at_a_version_that_fits(requirement: Requirement) -> None:
    versions, _ = _lock()[canonicalize_name(requirement.name)]
    assert all(requirement.specifier.contains(version) for version in versions), versions


@pytest.mark.parametrize("floor", FLOORS["floor"], ids=lambda floor: floor["package"])
def test_no_pin_lies_below_a_fixed_vulnerability(floor: dict[str, Any]) -> None:
    lowest = Version(floor["version"])
    versions, _ = _lock()[canonicalize_name(floor["package"])]
    assert all(version >= lowest for version in versions), f"{floor['package']} {versions}: {floor['advisories']}"
    for requirement in _declared():
        if canonicalize_name(requirement.name) == canonicalize_name(floor["package"]):
            allowed = [Version(spec.version) for spec in requirement.specifier if spec.operator == ">="]
            assert max(allowed) >= lowest, f"pyproject.toml allows {requirement}"
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}", advisory) for advisory in floor["advisories"])


@pytest.mark.parametrize("package", [entry["package"] for entry in FLOORS["unfixed"]])
def test_a_package_with_a_hole_nobody_has_fixed_is_not_ours(package: str) -> None:
    assert not [requirement for requirement in _declared() if canonicalize_name(requirement.name) == package]
    assert importers(package) == set()


def test_the_floors_were_reviewed_lately() -> None:
    """Warns only: a release checks it, a clone made next year must still pass."""
    age = (date.today() - FLOORS["reviewed"]).days
    assert FLOORS["reviewed"] >= date(2026, 11, 23)
    if age > REVIEW_DAYS:
        warnings.warn(f"security-floor.toml was reviewed {age} days ago; review it before a release", stacklevel=1)
