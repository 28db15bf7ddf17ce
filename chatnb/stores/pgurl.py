"""Addresses of PostgreSQL: from the spellings people use to the one that libpq takes, and without the password."""

from __future__ import annotations

import re

__all__ = ["address", "without_password"]


def address(url: str) -> str:
    """The address as libpq takes it.

    >>> address("cockroachdb+psycopg://ann:x@host:26257/chats?sslmode=require")
    'postgresql://ann:x@host:26257/chats?sslmode=require'
    """
    return f"postgresql:{url.partition(':')[2]}"


def without_password(url: str) -> str:
    """The address as it may be shown. What could be a password is cut, however it was written.

    >>> without_password("postgresql+psycopg://ann:p@ss/word@host/chats?sslpassword=x&sslmode=require")
    'postgresql://ann@host/chats?sslmode=require'
    """
    scheme, _, rest = url.partition(":")
    rest = re.sub(r"^//([^:@/?]*):.*@", r"//\1@", rest, flags=re.DOTALL)
    path, mark, query = rest.partition("?")
    kept = [pair for pair in query.split("&") if "password" not in pair.partition("=")[0].lower()]
    return f"{scheme.partition('+')[0]}:{path}{mark if any(kept) else ''}{'&'.join(kept)}"
