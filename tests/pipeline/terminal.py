"""The command line in this process, for verbs that are quick."""

from __future__ import annotations

import sys

import pytest

import expansion


class Terminal:
    """`expansion ARGS` as a person calls it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *args: object) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        self._monkeypatch.setattr(sys, "argv", ["expansion", *map(str, args)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            expansion.main()
        return (int(ended.value.code or 0), *self._capsys.readouterr())
