"""API keys: several, each with a name, kept as digests. A key itself is shown once, when it is made."""

import hashlib
import hmac
import secrets
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import write_text

__all__ = ["Keys", "add_key", "keys_of", "new_key", "read_keys"]

_LONGEST = 512  # characters of a key that are looked at


class Keys:
    """Who may use a server: names and the SHA-256 digests of their keys. Keys are random, so a plain digest suffices."""

    def __init__(self, digests: dict[str, str]) -> None:
        self._digests = digests

    def owner(self, header: str) -> str | None:
        """The name whose key an Authorization header brings; compared in constant time with each."""
        kind, _, key = header.partition(" ")
        if kind.lower() != "bearer" or not 0 < len(key) <= _LONGEST:
            return None
        given, found = _digest(key.strip()), None
        for name, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                found = name
        return found


def new_key() -> str:
    """A key of 192 random bits."""
    return f"gk-{secrets.token_urlsafe(24)}"


def read_keys(path: Path) -> Keys:
    """A file of lines "NAME DIGEST". Raises GenusError naming the line that is not one."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GenusError(f"{path} cannot be read as keys ({error}); make one with --new-key NAME") from error
    digests = {}
    for number, text in enumerate(lines, 1):
        if not text.strip() or text.startswith("#"):
            continue
        name, _, digest = text.strip().rpartition(" ")
        if not name or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise GenusError(f"{path}: line {number} is not a name and a SHA-256 digest; make it with --new-key NAME")
        digests[name] = digest
    if not digests:
        raise GenusError(f"{path} holds no key; make one with --new-key NAME")
    return Keys(digests)


def add_key(path: Path, name: str, key: str) -> None:
    """Write a key's digest into a file, beside those that are there."""
    known = path.read_text("utf-8") if path.exists() else ""
    if any(line.rpartition(" ")[0] == name for line in known.splitlines()):
        raise GenusError(f"{path} has a key called {name}; choose another name, or delete that line")
    write_text(path, f"{known}{name} {_digest(key)}\n")


def keys_of(named: dict[str, str]) -> Keys:
    """Keys given as they are."""
    return Keys({name: _digest(key) for name, key in named.items()})


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
