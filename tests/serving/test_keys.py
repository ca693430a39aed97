"""Keys are random, stored hashed, scoped, ended and revoked; sessions are signed by them and end with them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving import keys
from serving.errors import KeysRefused
from serving.keys import KeyRing, create_key, list_keys, revoke_key

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "keys.json"


def ring(path: Path, now: datetime = NOW) -> KeyRing:
    return KeyRing(path, lambda: now)


def test_a_key_is_found_by_its_text_and_only_its_hash_is_stored(path: Path) -> None:
    key, text = create_key(path, "crm", ("read",), NOW)
    assert ring(path).find(text) == key
    secret = text.rsplit("_", 1)[1] if "_" not in text[17:] else text[17:]
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_wrong_secret_id_or_shape_finds_nothing(path: Path) -> None:
    _, text = create_key(path, "crm", ("read",), NOW)
    for wrong in ("", "exp_", text[:-1] + ("A" if text[-1] != "A" else "B"), text.upper(), "x" + text, text + "\n"):
        assert ring(path).find(wrong) is None
    assert ring(path).find(text.replace(text[4:16], "0" * 12)) is None


def test_an_expired_key_is_no_key(path: Path) -> None:
    _, text = create_key(path, "crm", ("read",), NOW, days=1)
    assert ring(path).find(text) is not None
    assert ring(path, NOW + timedelta(days=1)).find(text) is None


def test_revoking_ends_the_key_and_its_sessions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "REREAD_SECONDS", 0.0)
    key, text = create_key(path, "crm", ("read",), NOW)
    live = ring(path)
    session = live.open_session(key, 1)
    assert live.find_session(session) is not None
    revoke_key(path, key.id, NOW)
    assert live.find(text) is None
    assert live.find_session(session) is None


def test_a_session_reads_only_and_ends(path: Path) -> None:
    key, _ = create_key(path, "boss", ("admin",), NOW)
    session = ring(path).open_session(key, 1)
    found = ring(path).find_session(session)
    assert found is not None
    assert (found.grants("read"), found.grants("score")) == (True, False)
    assert ring(path, NOW + timedelta(hours=1)).find_session(session) is None


def test_a_forged_session_is_refused(path: Path) -> None:
    key, _ = create_key(path, "crm", ("read",), NOW)
    key_id, expires, signature = ring(path).open_session(key, 1).split(".")
    assert ring(path).find_session(f"{key_id}.{int(expires) + 1}.{signature}") is None
    assert ring(path).find_session(f"{key_id}.{expires}.{'0' * 64}") is None
    assert ring(path).find_session("nonsense") is None


def test_a_key_file_that_others_can_read_opens_nothing(path: Path) -> None:
    _, text = create_key(path, "crm", ("read",), NOW)
    path.chmod(0o644)
    assert ring(path).find(text) is None
    with pytest.raises(KeysRefused, match="chmod 600"):
        list_keys(path)


def test_unknown_scopes_and_ids_are_named(path: Path) -> None:
    with pytest.raises(KeysRefused, match="read, score, admin"):
        create_key(path, "crm", ("write",), NOW)
    with pytest.raises(KeysRefused, match="Known: none"):
        revoke_key(path, "abc", NOW)


def test_keys_made_and_revoked_at_once_are_all_kept(path: Path) -> None:
    """Whoever writes back a list read before a revocation would make the key live again."""
    old = [create_key(path, "old", ("read",), NOW)[0] for _ in range(20)]
    made = """
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from serving.keys import create_key
for _ in range(20):
    create_key(Path(sys.argv[1]), "new", ("read",), datetime(2026, 3, 2, tzinfo=UTC))
"""
    makers = [subprocess.Popen([sys.executable, "-c", made, str(path)]) for _ in range(2)]
    for key in old:
        revoke_key(path, key.id, NOW)
    assert [maker.wait(60) for maker in makers] == [0, 0]
    kept = list_keys(path)
    assert [key.name for key in kept].count("new") == 40
    assert all(key.revoked_at for key in kept if key.name == "old")


def test_who_made_and_who_revoked_which_key_stands_in_the_audit_and_nothing_that_opens(path: Path) -> None:
    key, text = create_key(path, "crm", ("read",), NOW, days=30)
    revoke_key(path, key.id, NOW + timedelta(days=1))
    revoke_key(path, key.id, NOW + timedelta(days=2))  # changes nothing, so there is nothing to tell
    audit = path.with_name("audit.jsonl").read_text()
    made, revoked = map(json.loads, audit.splitlines())
    assert (made["action"], made["at"], made["key"]) == ("create_key", NOW.isoformat(), key.id)
    assert (revoked["action"], revoked["key"]) == ("revoke_key", key.id)
    assert made["by"]
    assert text.split("_", 2)[2] not in audit
    assert key.sha256 not in audit


def test_a_key_that_the_audit_cannot_tell_of_is_not_made(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("audit.jsonl").mkdir()
    with pytest.raises(IsADirectoryError):
        create_key(path, "crm", ("read",), NOW)
    assert list_keys(path) == []


def test_what_is_told_of_a_key_says_in_a_word_whether_it_opens_and_holds_no_hash(path: Path) -> None:
    states = {"valid": None, "ended": 1.0, "revoked": 90.0}
    made = {name: create_key(path, name, ("read",), NOW, days)[0] for name, days in states.items()}
    revoke_key(path, made["revoked"].id, NOW)
    told = [key.told(NOW + timedelta(days=1)) for key in list_keys(path)]
    assert [key["state"] for key in told] == list(states)
    assert set(told[0]) == {"id", "name", "scopes", "created_at", "expires_at", "revoked_at", "state"}
    assert all(key.sha256 not in json.dumps(told) for key in made.values())


def test_who_asks_while_another_thread_reads_the_keys_is_not_turned_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = create_key(path, "crm", ("read",), NOW)
    both, reading, go = ring(path), threading.Event(), threading.Event()

    def slowly(at: Path) -> list[keys.Key]:
        if not reading.is_set():
            reading.set()
            go.wait(10)
        return list_keys(at)

    monkeypatch.setattr(keys, "list_keys", slowly)
    first = threading.Thread(target=both.find, args=(text,))
    first.start()
    assert reading.wait(10)
    assert both.find(text) == key
    go.set()
    first.join()
