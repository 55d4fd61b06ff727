"""Tokens: kept as hashes, in force at once, useless once revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.errors import InputError
from understudy.station.tokens import TOKENS, Tokens


def test_a_token_is_found_by_its_secret_alone(tmp_path: Path) -> None:
    secret = Tokens(tmp_path).create("line3", "inspect")
    found = Tokens(tmp_path).find(secret)
    assert found is not None
    assert (found.name, found.scope) == ("line3", "inspect")
    for wrong in ("", secret[:-1], secret + "a", found.sha256, "ü"):
        assert Tokens(tmp_path).find(wrong) is None


def test_the_secret_is_not_in_the_file(tmp_path: Path) -> None:
    secret = Tokens(tmp_path).create("line3", "admin")
    assert secret not in (tmp_path / TOKENS).read_text()


def test_scopes_include_those_below(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    may = {
        scope: [each for each in ("inspect", "review", "admin") if token.may(each)]
        for scope in ("inspect", "review", "admin")
        if (token := tokens.find(tokens.create(scope, scope)))
    }
    assert may == {
        "inspect": ["inspect"],
        "review": ["inspect", "review"],
        "admin": ["inspect", "review", "admin"],
    }


def test_a_change_by_another_process_takes_effect_at_once(tmp_path: Path) -> None:
    serving = Tokens(tmp_path)
    assert serving.all() == []
    secret = Tokens(tmp_path).create("a", "inspect")
    assert serving.find(secret) is not None
    Tokens(tmp_path).revoke("a")
    assert serving.find(secret) is None


def test_names_are_unique_and_plain(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.create("a", "inspect")
    with pytest.raises(InputError, match="'a' already"):
        tokens.create("a", "admin")
    for bad in ("", "a b", "ü", "x" * 65, "../a", "-a"):
        with pytest.raises(InputError, match="no name of a token"):
            tokens.create(bad, "inspect")
    with pytest.raises(InputError, match="no token 'b'; there are: a"):
        tokens.revoke("b")


def test_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    secret = tokens.create("a", "inspect")
    (tmp_path / TOKENS).write_text("[")
    with pytest.raises(InputError, match="is damaged; move it away"):
        tokens.find(secret)
