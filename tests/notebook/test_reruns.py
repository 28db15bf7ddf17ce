"""What running a cell again does to the conversation, in a real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest

from tests.notebook.kernels import chat_kernel, closing, history, load, prompts, turns
from tests.rigs.kernel import Kernel, Result

QUESTIONS = [
    "My name is Alice.",
    "My city is Oslo.",
    "What is my name?",
    "What is my city?",
    "How many turns was that?",
]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with chat_kernel(tmp_path_factory.mktemp("work"), "explore.ipynb") as kernel:
        yield kernel


@pytest.fixture(scope="module")
def other(kernel: Kernel) -> Iterator[Kernel]:
    """A second notebook over the same store."""
    with chat_kernel(kernel.cwd, "copy of explore.ipynb") as kernel:
        yield kernel


def run_all(kernel: Kernel, session: str, questions: Sequence[str] = QUESTIONS, first: int = 0) -> list[Result]:
    """Run a notebook's chat cells from `first` on; cell n has the id cell-n."""
    cells = list(enumerate(questions))[first:]
    return [kernel.run(f"%%chat {session}\n{text}", cell_id=f"cell-{n}").expect_ok() for n, text in cells]


def way_back(result: Result) -> str:
    """The command that the closing line names."""
    found = re.search(r"\((%chat branches \w+) goes back to it\)", closing(result))
    assert found is not None, closing(result)
    return found[1]


def test_run_all_twice_rebuilds_the_conversation_and_keeps_the_old_one(kernel: Kernel) -> None:
    run_all(kernel, "twice")
    old = history(kernel, "twice")
    again = run_all(kernel, "twice")
    assert prompts(kernel, "twice") == QUESTIONS
    assert "Your name is Alice." in again[2].text
    assert "5 turns left as a branch" in closing(again[0])
    assert not any("left" in closing(result) for result in again[1:])
    assert closing(again[4]).split(" · ")[-1] == "history 4 of 4 turns"
    assert turns(kernel, "twice").prompt.tolist() == QUESTIONS * 2
    assert set(history(kernel, "twice").turn_id).isdisjoint(old.turn_id)

    listed = kernel.run("frame = %chat branches\nframe[['current', 'turns']].values.tolist()").expect_ok()
    assert listed.text == "[[False, 5], [True, 5]]"
    kernel.run(way_back(again[0])).expect_ok()
    assert history(kernel, "twice").turn_id.tolist() == old.turn_id.tolist()
    assert "Alice" in kernel.run("%%chat twice\nWhat is my name?").expect_ok().text


def test_run_all_in_a_new_kernel_rebuilds_it_too(kernel: Kernel) -> None:
    run_all(kernel, "restarted", QUESTIONS[:3])
    kernel.restart()
    load(kernel)
    again = run_all(kernel, "restarted", QUESTIONS[:3])
    assert "continuing restarted: 3 turns" in again[0].text and "3 turns left as a branch" in closing(again[0])
    assert prompts(kernel, "restarted") == QUESTIONS[:3]


def test_an_edited_cell_and_those_below_it_take_the_place_of_the_old(kernel: Kernel) -> None:
    run_all(kernel, "edited")
    edited = [QUESTIONS[0], "My city is Bergen.", *QUESTIONS[2:]]
    below = run_all(kernel, "edited", edited, first=1)
    assert "4 turns left as a branch" in closing(below[0])
    assert prompts(kernel, "edited") == edited
    assert "Your city is Bergen." in below[2].text and "Your name is Alice." in below[1].text
    kernel.run(way_back(below[0])).expect_ok()
    assert prompts(kernel, "edited") == QUESTIONS


def test_one_cell_reused_for_five_questions_gives_five_turns(kernel: Kernel) -> None:
    for question in QUESTIONS:
        last = kernel.run(f"%%chat reused\n{question}", cell_id="reused").expect_ok()
        assert "left" not in closing(last)
    assert prompts(kernel, "reused") == QUESTIONS
    again = kernel.run(f"%%chat reused\n{QUESTIONS[4]}", cell_id="reused").expect_ok()  # the last one, run again
    assert "1 turn left as a branch" in closing(again)
    assert prompts(kernel, "reused") == QUESTIONS


def test_only_the_body_of_a_cell_counts_as_its_text(kernel: Kernel) -> None:
    run_all(kernel, "body", QUESTIONS[:2])
    again = kernel.run(f"%%chat body -m demo --temperature 0\n{QUESTIONS[1]}", cell_id="cell-1").expect_ok()
    assert "1 turn left as a branch" in closing(again)
    kernel.run("x = 1").expect_ok()
    kernel.run("%%chat body\nIt is {{ x }}.", cell_id="value").expect_ok()
    kernel.run("x = 2").expect_ok()
    kernel.run("%%chat body\nIt is {{ x }}.", cell_id="value").expect_ok()
    assert prompts(kernel, "body") == [*QUESTIONS[:2], "It is 2."]


def test_a_duplicated_notebook_adds_and_neither_takes_the_others_turns_back(kernel: Kernel, other: Kernel) -> None:
    two = QUESTIONS[:2]
    run_all(kernel, "duplicated", two)
    added = run_all(other, "duplicated", two)
    assert "continuing duplicated: 2 turns, last just now, explore.ipynb" in added[0].text
    assert not any("left" in closing(result) for result in added)
    assert prompts(kernel, "duplicated") == two * 2

    first, second = run_all(kernel, "duplicated", two)  # the copy's turns came after these cells'
    assert closing(first).endswith(
        "added at the end, since turns from copy of explore.ipynb came after this cell's"
    ) and "left" not in closing(first)
    assert prompts(kernel, "duplicated") == two * 3
    assert closing(second).endswith("came after this cell's")

    again = run_all(kernel, "duplicated", two)  # now its own turns are the newest
    assert "2 turns left as a branch" in closing(again[0])
    assert prompts(kernel, "duplicated") == two * 3
    for mode in ("--replace", "--append"):
        forced = other.run(f"%%chat duplicated {mode}\n{two[0]}", cell_id="cell-0").expect_ok()
        assert "left" not in closing(forced)
    assert len(turns(kernel, "duplicated")) == 10


def test_append_and_replace_force_either(kernel: Kernel) -> None:
    one, two = QUESTIONS[:2]
    kernel.run(f"%%chat forced\n{one}", cell_id="forced").expect_ok()
    kernel.run(f"%%chat forced --append\n{one}", cell_id="forced").expect_ok()
    assert prompts(kernel, "forced") == [one, one]
    kernel.run(f"%%chat forced --replace\n{two}", cell_id="forced").expect_ok()
    assert prompts(kernel, "forced") == [one, two]


def test_the_setting_rerun_is_the_default_for_cells(kernel: Kernel) -> None:
    one, two = QUESTIONS[:2]
    try:
        kernel.run("%config ChatMagics.rerun = 'append'").expect_ok()
        run_all(kernel, "configured", [one])
        run_all(kernel, "configured", [one])
        assert prompts(kernel, "configured") == [one, one]
        kernel.run("%config ChatMagics.rerun = 'replace'").expect_ok()
        run_all(kernel, "configured", [two])
        assert prompts(kernel, "configured") == [one, two]
        kernel.run(f"%%chat configured --append\n{two}", cell_id="cell-0").expect_ok()
        assert prompts(kernel, "configured") == [one, two, two]
    finally:
        kernel.run("%config ChatMagics.rerun = 'auto'").expect_ok()


def test_a_cell_without_an_id_adds(kernel: Kernel) -> None:
    for _ in range(2):
        assert "left" not in closing(kernel.run(f"%%chat nameless\n{QUESTIONS[0]}").expect_ok())
    assert prompts(kernel, "nameless") == [QUESTIONS[0]] * 2


def test_a_cell_whose_turn_was_taken_back_adds(kernel: Kernel) -> None:
    run_all(kernel, "undone", QUESTIONS[:2])
    kernel.run("%chat undo").expect_ok()
    assert "left" not in closing(run_all(kernel, "undone", QUESTIONS[:2], first=1)[0])
    assert prompts(kernel, "undone") == QUESTIONS[:2]


def test_retry_and_continue_and_python_are_rebuilt_by_run_all_like_cells(kernel: Kernel) -> None:
    kernel.run("def quick() -> str:\n    return '17'\npatient = calling(quick, rounds=2)").expect_ok()
    cells = [
        "%%chat rebuilt\nMy name is Alice.",
        "%chat retry",
        "%%chat rebuilt -a patient --max-requests 1\nMeasure it.",
        "%chat continue",
        "turn = chatnb.Chat('rebuilt', model='demo').send('What is my name?')",
    ]
    for _ in range(2):
        for place, cell in enumerate(cells):
            kernel.run(cell, cell_id=f"rebuilt-{place}").expect_ok()
        assert prompts(kernel, "rebuilt") == ["My name is Alice.", "Measure it.", "What is my name?"]
        assert history(kernel, "rebuilt").turn_id.nunique() == 4  # the one that was continued is two turns


def test_a_retried_turn_belongs_to_the_cell_that_asked_first(kernel: Kernel) -> None:
    for _ in range(2):
        kernel.run(f"%%chat retried\n{QUESTIONS[0]}", cell_id="retried-0").expect_ok()
        kernel.run("%chat retry", cell_id="retried-1").expect_ok()
        assert prompts(kernel, "retried") == [QUESTIONS[0]]


def test_an_interrupted_rerun_keeps_the_old_answer_as_a_branch(kernel: Kernel) -> None:
    kernel.run("agent = pieces('The mean is 3.')").expect_ok()
    kernel.run("%%chat stopped -a agent\nWhat is the mean?", cell_id="stopped").expect_ok()
    kernel.run("agent = hanging('The mean ')").expect_ok()
    running = kernel.start("%%chat stopped -a agent\nWhat is the mean?", cell_id="stopped")
    running.wait_for(lambda so_far: "mean" in so_far.text)
    kernel.interrupt()
    stopped = running.result(10)
    assert stopped.ename == "TurnInterrupted"
    assert history(kernel, "stopped").content.tolist() == ["What is the mean?", "The mean "]
    kernel.run(way_back(stopped)).expect_ok()
    assert history(kernel, "stopped").content.tolist() == ["What is the mean?", "The mean is 3."]
