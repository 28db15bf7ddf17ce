"""`KEY=VALUE` settings of a session, and lengths of time, as people type them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from chatnb.errors import BadInput, nearest
from chatnb.records import now

__all__ = ["SETTINGS", "changes", "duration"]

SETTINGS = (
    "name",
    "model",
    "system_prompt",
    "tags",
    "max_history_messages",
    "max_history_tokens",
    "expires",
    "project",
)
"""What `%chat set` can set; `expires` takes a length of time from now."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """A length of time such as 90d, 12h, 2w or 30m.

    >>> duration("2w").days
    14
    """
    found = re.fullmatch(r"(\d+)([mhdw])", text.strip())
    if found is None:
        raise BadInput(f"{text!r} is not a length of time. Write a number and m, h, d or w, as in 90d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def changes(settings: Sequence[str]) -> dict[str, object]:
    """The fields of a session that `KEY=VALUE` settings name.

    >>> changes(["tags=a,b", "max_history_messages=4", "model="])
    {'tags': ('a', 'b'), 'max_history_messages': 4, 'model': None}
    """
    values: dict[str, object] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise BadInput(f"{setting!r} is not a setting. Write KEY=VALUE, as in name=planning or tags=a,b.")
        if key not in SETTINGS:
            raise BadInput(
                f"A session has no setting {key!r}.{nearest(key, SETTINGS)} There are {', '.join(SETTINGS)}."
            )
        if key == "name" and not value.strip():
            raise BadInput("A session needs a name. Write one, as in name=planning.")
        if key == "expires":
            values["expires_at"] = now() + duration(value) if value else None
        elif key == "tags":
            values[key] = tuple(tag.strip() for tag in value.split(",") if tag.strip())
        elif key.startswith("max_"):
            values[key] = _whole(key, value) if value else None
        else:
            values[key] = value or (None if key != "project" else "")
    return values


def _whole(key: str, value: str) -> int:
    if not value.isdigit():
        raise BadInput(f"{key} is a whole number from 0, and {value!r} is none.")
    return int(value)
