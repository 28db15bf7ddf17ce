"""Search over the histories: what it finds, in which order, and how it shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chatnb
from chatnb.bm25 import COLUMNS, UNSPACED, snippet, terms
from chatnb.errors import BadInput
from chatnb.stores.store import Store
from tests.stores.making import ANN, ask, session


@pytest.fixture(params=["duckdb", "sqlite", "json"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with chatnb.open_store(f"{request.param}:///{tmp_path / 'store'}") as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[Store]:
    with chatnb.open_store("memory:") as opened:
        yield opened


def tell(store: Store, *texts: str, name: str = "eda", answer: str = "-") -> None:
    """A session with these questions, each answered with a dash."""
    chat = store.create_session(session(name))
    for text in texts:
        ask(store, chat, text, answer)


def found(store: Store, text: str, **how: object) -> list[str]:
    """The messages found, the best first, as their snippets."""
    data = chatnb.search(text, **{"user": ANN, "store": store, **how})  # type: ignore[arg-type]
    return [str(one) for one in data["snippet"]]


def test_messages_of_every_session_are_found_with_where_they_are(store: Store) -> None:
    tell(store, "Plot a histogram of the ages.", "Now the incomes.", name="eda")
    tell(store, "Nothing to see.", "A histogram, please: histogram!", name="report")
    data = chatnb.search("HISTOGRAM", user=ANN, store=store)
    assert list(data.columns) == [column.name for column in COLUMNS]
    assert data[["session", "seq", "role"]].to_numpy().tolist() == [["report", 3, "user"], ["eda", 1, "user"]]
    assert data["snippet"].tolist() == [
        "A «histogram», please: «histogram»!",
        "Plot a «histogram» of the ages.",
    ]
    message = chatnb.messages("eda", user=ANN, store=store).iloc[0]
    assert data.iloc[1][["message_id", "session_id", "turn_id"]].tolist() == [
        message["id"], message["session_id"], message["turn_id"]
    ]  # fmt: skip


def test_the_score_is_bm25(memory: Store) -> None:
    texts = ["plot plot data", "data of the day", "something else, and longer than the others are"]
    tell(memory, *texts)
    lengths = [*(len(text) for text in texts), 1, 1, 1]
    mean = sum(lengths) / 6

    def weight(holding: int) -> float:
        return math.log(1 + (6 - holding + 0.5) / (holding + 0.5))

    def part(times: int, length: int) -> float:
        return times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / mean))

    data = chatnb.search("plot data", user=ANN, store=memory)
    first = weight(1) * part(2, lengths[0]) + weight(2) * part(1, lengths[0])
    assert data["score"].tolist() == pytest.approx([first, weight(2) * part(1, lengths[1])])


def test_a_rare_word_weighs_more_than_a_common_one_and_a_short_text_more_than_a_long(memory: Store) -> None:
    tell(memory, "data one", "data two", "data three", "zebra four", "data " + "and more words " * 20)
    assert found(memory, "data zebra")[0] == "«zebra» four"
    assert found(memory, "data")[-1].startswith("«data» and more words")


def test_a_word_is_a_whole_word_and_a_star_is_any_ending(memory: Store) -> None:
    tell(memory, "plotting", "a plot.", "subplot", "the_plot_thickens")
    assert sorted(found(memory, "plot")) == ["a «plot».", "the_«plot»_thickens"]
    assert sorted(found(memory, "plot*")) == ["a «plot».", "the_«plot»_thickens", "«plotting»"]


def test_quotes_are_words_in_a_row_and_signs_join_words(memory: Store) -> None:
    tell(memory, "my red data", "my data", "MY\n data!", "call df.groupby('x')", "groupby of df", "1.5 and 15")
    assert sorted(found(memory, '"my data"')) == ["«MY data»!", "«my data»"]
    assert found(memory, "df.groupby") == ["call «df.groupby»('x')"]
    assert found(memory, "1.5") == ["«1.5» and 15"]
    assert sorted(found(memory, '"my dat*"')) == ["«MY data»!", "«my data»"]
    assert sorted(found(memory, '"my data')) == ["«MY data»!", "«my data»"]  # a quote that nobody closed


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("die STRASSE dort", "straße"),
        ("die Straße dort", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("οδός", "ΟΔΌΣ"),
        ("Über uns", "ÜBER"),
        ("cafe\u0301", "CAFÉ"),
        ("café", "cafe\u0301"),
        ("ein ﬁsch", "fisch"),
        ("İstanbul", "i\u0307stanbul"),
        ("用pandas处理数据", "pandas"),
        ("用pandas处理数据", "数据"),
        ("データを見る", "データ"),
        ("हिन्दी में", "हिन्दी"),
        ("a 🦆 here", "🦆"),
        ("a => b", "=>"),
        ("nul\0in it", "nul"),
        ("x'; DROP TABLE sessions; --", "drop"),
        ("$1 and $top", "top"),
        ("100% (sure) [x] {y} \\d+ .*", "sure"),
    ],
)
def test_letters_are_found_whatever_their_case_and_form(memory: Store, text: str, asked: str) -> None:
    tell(memory, text, "other")
    shown = found(memory, asked)
    assert len(shown) == 1
    assert "«" in shown[0]


@pytest.mark.parametrize(
    ("text", "asked"), [("café", "caf"), ("cafe\u0301", "cafe"), ("naïve", "na"), ("x1", "x"), ("Ärger", "rger")]
)
def test_a_part_of_a_word_is_not_the_word(memory: Store, text: str, asked: str) -> None:
    tell(memory, text)
    assert found(memory, asked) == []


def test_a_message_that_forks_share_is_found_once_and_left_turns_and_deleted_sessions_never(store: Store) -> None:
    tell(store, "zebra one", "zebra two", name="source")
    source = store.find_session("source", user=ANN)
    store.fork_session(source, name="fork")
    assert sorted(found(store, "zebra")) == ["«zebra» one", "«zebra» two"]
    store.rewind(source, 2)
    assert len(found(store, "zebra")) == 2  # the fork still holds it
    store.delete_session(store.find_session("fork", user=ANN))
    assert found(store, "zebra") == ["«zebra» one"]
    store.delete_session(store.find_session("source", user=ANN))
    assert found(store, "zebra") == []


def test_others_messages_are_found_only_when_everybodys_are_asked_for(store: Store) -> None:
    tell(store, "zebra of ann")
    bob = store.create_session(session("bobs", user_id="bob"))
    ask(store, bob, "zebra of bob")
    assert found(store, "zebra") == ["«zebra» of ann"]
    assert found(store, "zebra", user="bob") == ["«zebra» of bob"]
    assert len(found(store, "zebra", user=None)) == 2


def test_the_limit_keeps_the_best(memory: Store) -> None:
    tell(memory, *("zebra " * number for number in range(1, 8)))
    assert len(found(memory, "zebra", limit=3)) == 3
    assert found(memory, "zebra", limit=1)[0].count("«") == 7


def test_nothing_found_is_an_empty_frame_with_the_dtypes_of_a_full_one(store: Store) -> None:
    none = chatnb.search("zebra", user=ANN, store=store)
    tell(store, "zebra")
    some = chatnb.search("zebra", user=ANN, store=store)
    assert len(none) == 0
    assert len(some) == 1
    assert none.dtypes.astype(str).to_dict() == some.dtypes.astype(str).to_dict()
    assert str(none["seq"].dtype) == "Int64"
    assert str(none["created_at"].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize("asked", ["", "  ", '""', "*", "\0", "\ud800"])
def test_nothing_to_look_for_is_one_sentence(memory: Store, asked: str) -> None:
    with pytest.raises(BadInput, match="There is nothing to look for"):
        chatnb.search(asked, store=memory)


def test_too_much_to_look_for_is_one_sentence(memory: Store) -> None:
    with pytest.raises(BadInput, match="40 terms"):
        chatnb.search(" ".join(f"w{number}" for number in range(40)), store=memory)
    with pytest.raises(BadInput, match="limit"):
        chatnb.search("a", limit=0, store=memory)


def test_a_snippet_is_one_short_line_around_the_first_hit() -> None:
    text = "word " * 200 + "\x1b[31m the zebra\n\ncrosses " + "word " * 200
    shown = snippet(text, terms("zebra"))
    assert "«zebra» crosses" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert shown.isprintable()
    assert len(shown) < 200
    assert shown.index("«") < 40  # a DataFrame shows the first 50 characters
    assert snippet("a text that is short, with its hit late: zebra", terms("zebra")).index("«") < 40


PIECES = (
    "a",
    "S",
    "ss",
    "ß",
    "ſ",
    "e",
    "\u0301",
    "é",
    "x",
    " ",
    ".",
    "_",
    "\0",
    "\n",
    "1",
    "用",
    "デ",
    "ﬁ",
    "fi",
    "σ",
    "ς",
)
FEW = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
# Letters that only a newer Unicode knows are letters to DuckDB and not to Python.
KNOWN = st.characters(max_codepoint=0x2FFF, exclude_categories=("Cs", "Cn"))


@settings(deadline=None)
@given(text=FEW | st.text(KNOWN, max_size=60), asked=FEW | st.sampled_from(PIECES) | st.text(KNOWN, max_size=12))
def test_what_duckdb_finds_is_what_the_snippet_marks(text: str, asked: str) -> None:
    try:
        wanted = terms(asked)
    except BadInput:
        return
    shown = snippet(text, wanted, width=10_000)
    assert shown.isprintable()
    with duckdb.connect() as connection:
        matches = [
            connection.execute(
                "SELECT len(list_filter(regexp_extract_all($text, $counted, 1), lambda one: one = ''"
                " OR regexp_matches(one, $unspaced))) > 0",
                {"text": text, "counted": term.counted, "unspaced": f"[{UNSPACED}]"},
            ).fetchall()[0][0]
            for term in wanted
        ]
    assert ("«" in shown.replace("«", "", text.count("«"))) == any(matches)
