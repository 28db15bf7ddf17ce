"""JSON that every database takes: what it cannot hold is refused with its path, or put in its nearest form."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from chatnb.errors import BadInput

__all__ = ["SURROGATE", "cleaned", "json_text"]

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character: no encoding of Unicode holds it."""


def json_text(value: object, path: str) -> str:
    """`value` as JSON text.

    Parameters
    ----------
    value
        Anything that JSON can hold.
    path
        What the value is called in the error.

    Raises
    ------
    BadInput
        When it holds something that JSON cannot: NaN, an infinity, a lone surrogate, a key that is not text, another
        type. The sentence names its place.

    Examples
    --------
    >>> json_text({"a": [1, "ü"]}, "metadata")
    '{"a":[1,"ü"]}'
    """
    _refuse(value, path)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _refuse(value: object, path: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        if not value.isascii() and (found := SURROGATE.search(value)):
            raise BadInput(f"{path}: a lone surrogate (\\u{ord(found[0]):04x}) cannot be stored.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadInput(f"{path}: {value} is not JSON and cannot be stored.")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise BadInput(f"{path}: the key {key!r} is not text; JSON has no other keys.")
            _refuse(key, path)
            _refuse(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            _refuse(item, f"{path}[{place}]")
    else:
        raise BadInput(f"{path}: {type(value).__qualname__} is not JSON and cannot be stored.")


def cleaned(value: object) -> object:
    """What a model said, in its nearest form that JSON holds: it is paid for, so it is never refused.

    >>> cleaned({1: float("nan"), "b": (1, "half \\ud83d")})
    {'1': None, 'b': [1, 'half �']}
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value if value.isascii() else SURROGATE.sub("\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(cleaned(str(key))): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list | tuple) else repr(value)
