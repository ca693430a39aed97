"""Figures into pages: the text between `<!-- mark -->` and `<!-- /mark -->` is generated, what is around it is not."""

from __future__ import annotations

import re
from pathlib import Path


def with_block(text: str, mark: str, block: str, page: str) -> str:
    """`text` with `block` between its marks.

    Raises:
        ValueError: the `page`, so named, has no such marks, or more than one pair.
    """
    marks = f"<!-- {mark} --> and <!-- /{mark} -->"
    between = re.compile(rf"(?<=<!-- {mark} -->\n).*?(?=<!-- /{mark} -->)", re.DOTALL)
    out, count = between.subn(lambda _: block, text)
    if count != 1:
        raise ValueError(f"{page} has {count} blocks between {marks}; it needs one.")
    return out


def into_page(page: Path, mark: str, block: str) -> None:
    """Writes the `page` with `block` between its marks. Raises what `with_block` does."""
    text = page.read_text(encoding="utf-8")
    page.write_text(with_block(text, mark, f"{block.strip()}\n", page.name), encoding="utf-8")
