"""Tokens of a station: made once, kept as hashes, each with a name and a scope."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from understudy.errors import InputError
from understudy.files import write_bytes

__all__ = ["SCOPES", "Scope", "Token", "Tokens"]

Scope: TypeAlias = Literal["inspect", "review", "admin"]
"""``inspect``: send pictures. ``review``: also look at inspections and answer. ``admin``: also change."""

SCOPES: tuple[Scope, ...] = ("inspect", "review", "admin")
"""Scopes, from the least to the most; each includes those before it."""

TOKENS = "tokens.json"


class Token(BaseModel):
    """A token, without its secret.

    Attributes:
        name: who or what uses it; stands in the audit log.
        scope: what it may do.
        sha256: hash of the secret, which nobody can guess, so a plain hash will do.
        created: when it was made, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")
    scope: Scope
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: AwareDatetime

    def may(self, scope: Scope) -> bool:
        """Whether the token has a scope."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)


_LIST = TypeAdapter(list[Token])


class Tokens:
    """The tokens of a station; a change of the file takes effect at once.

    Args:
        folder: folder of the station.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TOKENS
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int, int], list[Token]] | None = None

    def all(self) -> list[Token]:
        """Return all tokens.

        Raises:
            InputError: the file is damaged; then no token is valid.
        """
        with self._lock:
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                return []
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._read is None or self._read[0] != stamp:
                self._read = stamp, self._parse()
            return self._read[1]

    def find(self, secret: str) -> Token | None:
        """Return the token of a secret; ``None`` if there is none."""
        digest = _hash(secret)
        found = [token for token in self.all() if hmac.compare_digest(token.sha256, digest)]
        return found[0] if found else None

    def create(self, name: str, scope: Scope) -> str:
        """Make a token and return its secret, which is not kept.

        Raises:
            InputError: the name is taken or no name.
            WorkError: the file cannot be written.
        """
        known = self.all()
        if any(token.name == name for token in known):
            raise InputError(f"there is a token {name!r} already; revoke it first, or choose another name")
        secret = secrets.token_urlsafe(32)
        try:
            token = Token(name=name, scope=scope, sha256=_hash(secret), created=datetime.now(UTC))
        except ValidationError as error:
            raise InputError(
                f"{name!r} is no name of a token; use letters, digits and - _ . @, at most 64"
            ) from error
        self._write([*known, token])
        return secret

    def revoke(self, name: str) -> None:
        """Remove a token.

        Raises:
            InputError: there is no such token.
            WorkError: the file cannot be written.
        """
        known = self.all()
        left = [token for token in known if token.name != name]
        if len(left) == len(known):
            names = ", ".join(token.name for token in known) or "none"
            raise InputError(f"there is no token {name!r}; there are: {names}")
        self._write(left)

    def _parse(self) -> list[Token]:
        try:
            return _LIST.validate_json(self._path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(
                f"{self._path} is damaged; move it away and make new tokens with understudy station token"
            ) from error

    def _write(self, tokens: list[Token]) -> None:
        content = json.dumps(_LIST.dump_python(tokens, mode="json"), indent=2) + "\n"
        write_bytes(self._path, content.encode())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
