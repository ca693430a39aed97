"""Text is read and written as UTF-8, whatever the locale of the machine."""

from __future__ import annotations

import ast

from tests.architecture.source import modules


def test_every_text_file_names_its_encoding() -> None:
    found = [
        f"{path}:{call.lineno}"
        for path, tree in modules().items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("read_text", "write_text")
        and not any(keyword.arg == "encoding" for keyword in call.keywords)
    ]
    assert not found
