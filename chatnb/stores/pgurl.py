"""Addresses of PostgreSQL: from the spellings people use to the one that libpq takes, and without the password."""

from __future__ import annotations

import re

__all__ = ["address", "without_password"]


def address(url: str) -> str:
    """The address as libpq takes it; signs of a password that belong into `%40` and the like are put so.

    >>> address("cockroachdb+psycopg://ann:p@ss/w%@host:26257/chats?sslmode=require")
    'postgresql://ann:p%40ss%2Fw%25@host:26257/chats?sslmode=require'
    """
    user, password, rest = _split(url)
    if password is None:
        return f"postgresql:{rest}"
    quoted = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", password)
    for sign in "@/?#:":
        quoted = quoted.replace(sign, f"%{ord(sign):02X}")
    return f"postgresql://{user}:{quoted}@{rest}"


def without_password(url: str) -> str:
    """The address as it may be shown. What could be a password is cut, however it was written.

    >>> without_password("postgresql+psycopg://ann:p@ss/word@host/chats?sslpassword=x&sslmode=require")
    'postgresql://ann@host/chats?sslmode=require'
    >>> without_password("postgresql://host:5432/chats?user=ann@home")
    'postgresql://host:5432/chats?user=ann@home'
    """
    user, password, rest = _split(url)
    path, mark, query = rest.partition("?")
    kept = [pair for pair in query.split("&") if "password" not in pair.partition("=")[0].lower()]
    shown = f"{path}{mark if any(kept) else ''}{'&'.join(kept)}"
    scheme = url.partition(":")[0].partition("+")[0]
    return f"{scheme}:{shown}" if password is None else f"{scheme}://{user}@{shown}"


def _split(url: str) -> tuple[str, str | None, str]:
    """User, password and what follows the `@`; without a password what follows the scheme."""
    rest = url.partition(":")[2]
    found = re.match(r"//(?P<user>[^:@/?]*):(?P<password>.*)@(?P<rest>.*)", rest, flags=re.DOTALL)
    if found is None or (re.match(r"\d+[/?]", found["password"]) and "@" not in re.split("[/?]", rest[2:])[0]):
        return "", None, rest  # an `@` further on, behind a port
    return found["user"], found["password"], found["rest"]
