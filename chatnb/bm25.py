"""Full-text search over the histories: ranked with BM25, in one SELECT, with nothing to install and nothing to index.

The ranking is BM25 as in S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
Foundations and Trends in Information Retrieval 3(4), 2009, equation 3.15, with the weight of a term as in Lucene's
BM25Similarity: the Robertson/Sparck Jones weight plus one inside the logarithm, so that a term in most messages never
counts against a message. A document is a message; its length is counted in bytes, of which only the ratio to the mean
counts. `K1` and `B` are Lucene's defaults, in the range that Robertson and Zaragoza recommend (section 3.4).

DuckDB reads the messages once, in parallel: at 1,000,000 messages a search takes about as long as reading them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from chatnb.dtypes import frame
from chatnb.errors import BadInput
from chatnb.frames import ME, OWN, Me, opened, owner_of
from chatnb.stores.schema import Column
from chatnb.stores.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "UNSPACED", "Term", "search", "snippet", "terms"]

K1 = 1.2
"""How soon more of the same term stops counting."""

B = 0.75
"""How much a message's length counts: 0 not at all, 1 in full."""

MOST_TERMS = 32
"""Each term is a pass over the texts."""

COLUMNS = (
    Column("session", "text", "the session's name, or its id"),
    Column("seq", "bigint", "the message's place in the session's history, from 1"),
    Column("role", "text", "user, tool, system or assistant"),
    Column("score", "double", "the BM25 score; only its order means anything"),
    Column("snippet", "text", "the text around the first hits, each between « and »"),
    Column("created_at", "timestamp", "when the message was made"),
    Column("session_id", "text", "the session"),
    Column("turn_id", "text", "the turn"),
    Column("message_id", "text", "the message"),
)
"""The columns of a search's result."""

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of writings that put no space between words (Thai, Lao, Burmese, Khmer, Japanese, Chinese): they end none."""

_BEFORE = f"(?:^|[^\\pL\\pN\\pM]|[{UNSPACED}])"
_BETWEEN = "[^\\pL\\pN\\pM]{1,8}"
_AFTER = "([\\pL\\pN\\pM]?)"
_SNIPPET = 160
"""How many characters of a message a snippet shows."""


@dataclass(frozen=True)
class Term:
    """One thing to look for: words in a row; `prefix` when the last may go on, `literal` when it is no word at all."""

    words: tuple[str, ...]
    prefix: bool = False
    literal: bool = False

    def core(self, between: str) -> str:
        """A regular expression for it, whatever its case and its Unicode form, for RE2 and for Python's `re`.

        Parameters
        ----------
        between
            What may stand between two words.
        """
        if self.literal:
            return "".join(re.escape(word) for word in self.words)
        return between.join(_folded(word) for word in self.words)

    @property
    def counted(self) -> str:
        """An RE2 expression that finds every place of it; its group is a letter that follows and makes it another word.

        RE2 has no look-ahead, and its \\b knows ASCII alone.
        """
        core = self.core(_BETWEEN)
        if self.literal:
            return f"(?i){core}()"
        before = "" if re.match(f"[{UNSPACED}]", self.words[0]) else _BEFORE
        open_end = self.prefix or re.search(f"[{UNSPACED}]$", self.words[-1])
        return f"(?i){before}{core}{'()' if open_end else _AFTER}"


def terms(text: str) -> list[Term]:
    """What a person looks for: words, `"words in a row"`, `pref*`.

    Signs between letters join them to words in a row, as in `df.groupby` or `2026-01-31`. A text without a letter or
    a digit is looked for as it is.

    Raises
    ------
    BadInput
        When there is nothing to look for, or too much.

    Examples
    --------
    >>> [term.words for term in terms('plot "my data" df.groupby hist*')]
    [('plot',), ('my', 'data'), ('df', 'groupby'), ('hist',)]
    >>> terms("hist*")[0].prefix
    True
    """
    found: list[Term] = []
    for quoted, plain in re.findall(r'"([^"]*)"?|([^\s"]+)', text):
        words = tuple(_words(quoted or plain))
        if words:
            found.append(Term(words, prefix=(quoted or plain).rstrip().endswith("*")))
    signs = "".join(sign for sign in text if sign.isprintable()).strip().strip('"')
    if not found and signs.strip("*"):
        found.append(Term((signs,), literal=True))
    if not found:
        raise BadInput('There is nothing to look for. Give words, as in %chat search plot "my data" hist*.')
    found = list(dict.fromkeys(found))
    if len(found) > MOST_TERMS:
        raise BadInput(f"{len(found)} terms are too many to look for at once. Give {MOST_TERMS} at most.")
    return found


def search(
    text: str,
    *,
    limit: int = 20,
    user: str | Me | None = ME,
    store: Store | str | Path | None = None,
) -> pd.DataFrame:
    """Find messages in the current histories of all active sessions, the best first.

    A message is found when it holds any of the words, whatever their case; those that hold more of them, rarer ones,
    and more often for their length come first. `"words in a row"` must stand so; `hist*` is every word that begins so.
    The columns are session, seq, role, score, snippet (hits between « and »), created_at, session_id, turn_id and
    message_id. A message that several sessions share is found once.

    Parameters
    ----------
    text
        What to look for.
    limit
        How many messages at most.
    user
        Whose; the default is yourself, None everybody's.
    store
        A store or its address; None is the default store.

    Raises
    ------
    BadInput
        When there is nothing to look for.
    """
    if limit < 1:
        raise BadInput(f"limit counts the messages to find; {limit} finds none. Give 1 or more.")
    wanted = terms(text)
    owner = owner_of(user)
    params: dict[str, object] = {"top": limit, "unspaced": f"[{UNSPACED}]"}
    if owner is not None:
        params["user"] = owner
    for number, term in enumerate(wanted):
        params[f"counted_{number}"] = term.counted
        params[f"core_{number}"] = "(?i)" + term.core(_BETWEEN)
    data = frame(opened(store).query(_statement(len(wanted), owner is not None), params), COLUMNS)
    data["snippet"] = [snippet(content, wanted) for content in data["snippet"]]
    data["snippet"] = data["snippet"].astype("str")
    return data


def _statement(count: int, owned: bool) -> str:
    """The SELECT that finds and ranks `count` terms, in DuckDB's SQL.

    Texts are read for the mean length and for the hits alone; the few that are shown are fetched at the end.
    """
    mine = OWN["history"] if owned else "TRUE"
    every = range(count)
    times = ", ".join(
        f"CASE WHEN regexp_matches(content, $core_{one}) THEN len(list_filter(regexp_extract_all(content,"
        f" $counted_{one}, 1), lambda after: after = '' OR regexp_matches(after, $unspaced))) ELSE 0 END AS tf_{one}"
        for one in every
    )
    score = " + ".join(
        f"ln(1 + (documents - df_{one} + 0.5) / (df_{one} + 0.5))"
        f" * tf_{one} * ({K1} + 1) / (tf_{one} + {K1} * (1 - {B} + {B} * length / mean))"
        for one in every
    )
    return f"""WITH hits AS MATERIALIZED (
 SELECT id, session_id, strlen(content) AS length, {times} FROM history
 WHERE {mine} AND ({" OR ".join(f"regexp_matches(content, $core_{one})" for one in every)})
), size AS (
 SELECT count(*) AS documents, avg(strlen(content)) AS mean FROM history WHERE {mine}
), found AS (
 SELECT {", ".join(f"count(*) FILTER (tf_{one} > 0) AS df_{one}" for one in every)} FROM hits
), best AS (
 SELECT id, min(session_id) AS session_id, max({score}) AS score FROM hits, size, found
 WHERE {" + ".join(f"tf_{one}" for one in every)} > 0 GROUP BY id ORDER BY score DESC, id DESC LIMIT $top
)
SELECT coalesce(history.session_name, history.session_id) AS session, history.seq, history.role, best.score,
 history.content AS snippet, history.created_at, history.session_id, history.turn_id, history.id AS message_id
FROM best JOIN history ON history.id = best.id AND history.session_id = best.session_id
ORDER BY best.score DESC, best.id DESC"""


def snippet(content: str, wanted: list[Term], width: int = _SNIPPET) -> str:
    """The part of a text with the first hits, on one line, each hit between « and ».

    Parameters
    ----------
    content
        The text.
    wanted
        What was looked for.
    width
        How many characters of the text to show at most.

    Examples
    --------
    >>> snippet("Please plot a histogram of x.", terms("hist*"))
    'Please plot a «histogram» of x.'
    """
    hits = sorted(_hits(content, wanted))
    # A column of a DataFrame shows its first 50 characters, so the first hit stands near the start.
    start = hits[0][0] - 20 if hits and hits[0][0] > 30 else 0
    if start:
        start = content.find(" ", start, hits[0][0]) + 1 or start  # a word is not cut
    end = min(len(content), max(start + width, hits[0][1] if hits else 0))
    pieces, place = ["…" if start else ""], start
    for first, last in hits:
        if first >= place and last <= end:
            pieces += [content[place:first], "«", content[first:last], "»"]
            place = last
    pieces += [content[place:end], "…" if end < len(content) else ""]
    return " ".join("".join(sign if sign.isprintable() else " " for sign in "".join(pieces)).split())


def _hits(content: str, wanted: list[Term]) -> Iterator[tuple[int, int]]:
    for term in wanted:
        for found in re.finditer(term.core(r"[\W_]{1,8}"), content, re.IGNORECASE):
            first, last = found.span()
            if not term.literal:
                if first and _joins(content[first - 1], content[first]):
                    continue
                while term.prefix and last < len(content) and _is_letter(content[last]):
                    last += 1
                if last < len(content) and _joins(content[last - 1], content[last]):
                    continue
            yield first, last


def _joins(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word."""
    unspaced = re.compile(f"[{UNSPACED}]")
    return _is_letter(left) and _is_letter(right) and not unspaced.match(left) and not unspaced.match(right)


def _is_letter(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LNM"


def _words(text: str) -> Iterator[str]:
    """Runs of letters, digits and the marks on them, folded."""
    word = ""
    for sign in unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()) + " ":
        if _is_letter(sign):
            word += sign
        elif word:
            yield word
            word = ""


def _folded(word: str) -> str:
    """An expression for every spelling that folds to this word.

    `(?i)` in RE2 and in Python folds one letter to one. What Unicode's full case folding adds (`ß` is `ss`, `ﬁ` is
    `fi`) and the decomposed forms (`e` with a combining accent) stand beside the letters.
    """
    pieces, place = [], 0
    while place < len(word):
        for size in (3, 2, 1):
            part = word[place : place + size]
            others = _unfolded().get(part, "") if size > 1 else ""
            if others or size == 1:
                break
        apart = unicodedata.normalize("NFD", part)
        spellings = [part, *([apart] if apart != part else []), *others]
        pieces.append(part if len(spellings) == 1 else f"(?:{'|'.join(spellings)})")
        place += len(part)
    return "".join(pieces)


@cache
def _unfolded() -> dict[str, str]:
    """The single letters that fold to several, by what they fold to (Unicode's CaseFolding.txt, status F)."""
    found: dict[str, str] = {}
    for code in range(0xDF, 0xFB18):
        folded = chr(code).casefold()
        if len(folded) > 1:
            found[folded] = found.get(folded, "") + chr(code)
    return found
