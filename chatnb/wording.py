"""Numbers as people read them."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "turn"), counted(1240, "message")
    ('1 turn', '1,240 messages')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
