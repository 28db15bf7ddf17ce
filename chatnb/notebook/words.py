"""A magic's line as words, and what argparse says about them as one sentence."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from chatnb.errors import BadInput, nearest

__all__ = ["complaint", "split"]

_UNKNOWN = "unrecognized arguments: "


def split(line: str) -> list[str]:
    r"""The words of a magic's line, without the quotes around them.

    Raises
    ------
    BadInput
        When a quote is not closed.

    >>> split(r'eda -s "be \"brief\""')
    ['eda', '-s', 'be "brief"']
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        what = "ends in a lone backslash" if "escaped" in str(error) else "has a quote that is not closed"
        raise BadInput(f"The line {line!r} {what}. Write a text with quotes in it as -s \"say 'yes'\".") from error


def complaint(who: str, message: str, options: Iterable[str], lists: str) -> BadInput:
    """What argparse complained of, as an error to raise.

    Parameters
    ----------
    who
        The magic or command, as people write it.
    message
        argparse's own words.
    options
        The options that there are.
    lists
        What lists them.
    """
    if not message.startswith(_UNKNOWN):
        return BadInput(f"{who}: {message.rstrip('.')}. {lists} lists the options.")
    words = shlex.split(message.removeprefix(_UNKNOWN).replace("'", "\\'"))
    option = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
    if option is not None:
        return BadInput(f"{who} has no option {option!r}.{nearest(option, options)} {lists} lists the options.")
    return BadInput(
        f"{who} cannot take {message.removeprefix(_UNKNOWN)!r} as well. Put quotes around a text with spaces; "
        "a question to the model stands below the %%chat line."
    )
