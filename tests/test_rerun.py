"""The pure decision behind running a cell again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatnb.records import Turn
from chatnb.rerun import Rerun, RerunMode, decide

OWN = Turn(session_id="s", branch_id="b", user_id="ada", notebook="/work/a.ipynb", cell_id="1", cell_source="old text")
LATER = replace(OWN, id="later", cell_id="2")
ELSEWHERE = replace(OWN, id="elsewhere", notebook="/work/b.ipynb")
SOMEBODY = replace(OWN, id="somebody", user_id="bob")
PYTHON = replace(OWN, id="python", notebook=None, cell_id=None)


def decided(
    own: Turn | None = OWN, *later: Turn, source: str | None = "old text", mode: RerunMode = "auto", first: int = 7
) -> Rerun:
    return decide(own, first, later, source=source, user="ada", notebook="/work/a.ipynb", mode=mode)


@pytest.mark.parametrize("mode", ["auto", "append", "replace"])
def test_a_cell_without_a_turn_in_the_history_adds(mode: RerunMode) -> None:
    assert decided(None, mode=mode) == Rerun()


def test_an_unchanged_cell_replaces_its_turn_and_leaves_what_followed() -> None:
    assert decided(OWN) == Rerun(rewind_seq=6, turns=(OWN,))
    assert decided(OWN, LATER) == Rerun(rewind_seq=6, turns=(OWN, LATER))
    assert decided(OWN, first=1).rewind_seq == 0


def test_a_changed_cell_is_a_follow_up_while_its_turn_is_the_newest() -> None:
    assert decided(OWN, source="new text") == Rerun()


def test_a_changed_cell_is_an_edit_when_turns_follow() -> None:
    assert decided(OWN, LATER, source="new text") == Rerun(rewind_seq=6, turns=(OWN, LATER))


@pytest.mark.parametrize("source", ["old text", "new text"])
@pytest.mark.parametrize("later", [(), (LATER,)])
def test_append_and_replace_force_either(source: str, later: tuple[Turn, ...]) -> None:
    assert decided(OWN, *later, source=source, mode="append") == Rerun()
    assert decided(OWN, *later, source=source, mode="replace") == Rerun(rewind_seq=6, turns=(OWN, *later))


@pytest.mark.parametrize("mode", ["auto", "replace"])
@pytest.mark.parametrize(
    ("other", "name"), [(ELSEWHERE, "b.ipynb"), (SOMEBODY, "a.ipynb"), (PYTHON, "outside a notebook")]
)
def test_turns_of_other_notebooks_and_users_are_never_left_behind(other: Turn, name: str, mode: RerunMode) -> None:
    decision = decided(OWN, LATER, other, LATER, mode=mode)
    assert (decision.rewind_seq, decision.turns) == (None, ())
    assert decision.note == f"added at the end, since turns from {name} came after this cell's"


def test_each_place_is_named_once() -> None:
    again = replace(ELSEWHERE, id="again")
    assert "turns from b.ipynb, outside a notebook came" in decided(OWN, ELSEWHERE, PYTHON, again).note


def test_a_changed_cell_whose_turn_others_followed_adds_and_says_so() -> None:
    assert "b.ipynb" in decided(OWN, ELSEWHERE, source="new text").note
    assert decided(OWN, ELSEWHERE, source="new text", mode="append").note == ""
