"""A conversation in a notebook: remembered over kernels, stored before its cell is over, the cell's result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from chatnb.settings import default_user
from tests.notebook.kernels import answer, chat_kernel, closing, history, load, prompts, store_of, turns
from tests.rigs.kernel import Kernel, Result


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with chat_kernel(tmp_path_factory.mktemp("work")) as kernel:
        yield kernel


def out(result: Result) -> str:
    """What a cell that ends in an expression gives."""
    value = result.expect_ok().value
    assert value is not None, result.text
    return value.text


def test_a_new_kernel_remembers_what_the_one_before_it_was_told(kernel: Kernel) -> None:
    first = kernel.run("%%chat memory\nMy name is Alice.").expect_ok()
    assert "continuing" not in first.text
    kernel.restart()
    load(kernel)
    second = kernel.run("%%chat memory\nWhat is my name?").expect_ok()
    assert answer(second).startswith("continuing memory: 1 turn, last just now, explore.ipynb")
    assert "Your name is Alice." in answer(second)
    third = kernel.run("%%chat memory\nWhat is my name?").expect_ok()
    assert answer(third) == "Your name is Alice."  # the heading comes once a kernel


def test_the_closing_line_tells_what_the_turn_was(kernel: Kernel) -> None:
    first = kernel.run("%%chat line\nMy city is Oslo.").expect_ok()
    name, model, tokens, cost, seconds, sent = closing(first).split(" · ")
    assert (name, model, cost, sent) == ("line", "demo", "$0 (line $0)", "no history")
    assert tokens.endswith(" out") and " in + " in tokens and seconds.endswith(" s")
    second = kernel.run("%%chat line\nWhat is my city?").expect_ok()
    assert closing(second).endswith(" · history 1 of 1 turn")
    limited = kernel.run("%%chat line -n 1\nWhat is my city?").expect_ok()
    assert closing(limited).endswith(" · history 1 of 2 turns")


def test_a_price_that_is_not_known_is_a_question_mark(kernel: Kernel) -> None:
    kernel.run("unpriced = pieces('Hello.')").expect_ok()
    assert " · $? (unpriced $?) · " in closing(kernel.run("%%chat unpriced -a unpriced\nHi").expect_ok())
    assert " · $0 (unpriced $?) · " in closing(kernel.run("%%chat unpriced -m demo\nHi").expect_ok())


def test_a_turn_is_in_the_file_when_its_cell_is_over(kernel: Kernel) -> None:
    code = (
        "import sys, duckdb; from filelock import FileLock\n"
        "with FileLock(sys.argv[1] + '.lock'), duckdb.connect(sys.argv[1], read_only=True) as file:\n"
        "    print(file.execute('SELECT status, prompt, answer FROM turns WHERE prompt = ?', sys.argv[2:]).fetchall())"
    )
    kernel.run("%%chat stored\nIs this in the file?").expect_ok()
    read = [sys.executable, "-c", code, str(kernel.cwd / "chat.duckdb"), "Is this in the file?"]
    found = subprocess.run(read, capture_output=True, text=True, check=True).stdout
    assert found.startswith("[('ok', 'Is this in the file?', ") and "You said" in found
    assert history(kernel, "stored").role.tolist() == ["user", "assistant"]


def test_the_turn_is_the_cells_result(kernel: Kernel) -> None:
    kernel.run("%%chat result\nMy name is Bob.").expect_ok()
    assert out(kernel.run("turn = _\nturn.status, turn.prompt, turn.model, isinstance(turn, chatnb.Turn)")) == (
        "('ok', 'My name is Bob.', 'demo', True)"
    )
    asked = kernel.run("%%chat result\nWhat is my name?").expect_ok()
    assert len(asked.outputs) == 1  # the drawn answer, and not the turn a second time
    number = asked.execution_count
    assert out(kernel.run(f"Out[{number}] is _, Out[{number}].answer == Out[{number}].output, len(_.messages)")) == (
        "(True, True, 2)"
    )


def test_a_turn_that_another_cell_names_is_shown_there(kernel: Kernel) -> None:
    kernel.run("%%chat named\nMy name is Bob.").expect_ok()
    kernel.run("kept = _").expect_ok()
    assert "Hello Bob." in out(kernel.run("kept"))


def test_a_prompt_that_ends_in_a_semicolon_has_a_result_too(kernel: Kernel) -> None:
    kernel.run("%%chat semicolon\nWhat does this do: x = 1;").expect_ok()
    assert out(kernel.run("_.prompt")) == "'What does this do: x = 1;'"


def test_o_binds_the_answer(kernel: Kernel) -> None:
    kernel.run("%%chat bound -o reply\nMy name is Carol.").expect_ok()
    assert "Hello Carol." in out(kernel.run("reply"))


def test_an_object_that_was_asked_for_is_the_output_and_is_shown(kernel: Kernel) -> None:
    code = "from pydantic import BaseModel\nclass City(BaseModel):\n    city: str\nasker = Agent(output_type=City)"
    kernel.run(code).expect_ok()
    result = kernel.run("%%chat object -a asker -o town\nMy city is Oslo.").expect_ok()
    assert answer(result) == '{"city": "Oslo"}'
    assert out(kernel.run("town, _.output == town, _.answer")) == "(City(city='Oslo'), True, '{\"city\": \"Oslo\"}')"
    assert turns(kernel, "object").output.tolist() == [{"city": "Oslo"}]
    strictly = kernel.run("again = strict()\n").expect_ok() and kernel.run("%%chat object -a again\nAnd?").expect_ok()
    assert answer(strictly).startswith("Accepted")


def test_a_cell_without_a_session_uses_the_kernels_current_one(kernel: Kernel) -> None:
    kernel.run("%%chat current\nMy name is Dora.").expect_ok()
    assert "Your name is Dora." in kernel.run("%%chat\nWhat is my name?").expect_ok().text
    assert prompts(kernel, "current") == ["My name is Dora.", "What is my name?"]


def test_a_kernel_without_a_current_session_takes_the_notebooks(kernel: Kernel) -> None:
    kernel.run("%%chat kept\nMy name is Eve.").expect_ok()
    kernel.restart()
    load(kernel)
    assert "Your name is Eve." in kernel.run("%%chat\nWhat is my name?").expect_ok().text


def test_a_notebooks_first_session_has_its_name_and_when_it_is_gone_a_new_one_begins(kernel: Kernel) -> None:
    kernel.restart()
    load(kernel)
    kernel.run("__vsc_ipynb_file__ = '/tmp/other/fresh.ipynb'").expect_ok()  # as VS Code tells it
    assert closing(kernel.run("%%chat\nHello.").expect_ok()).startswith("fresh · ")
    with store_of(kernel) as store:
        store.purge_session(store.find_session("fresh", user=default_user(), project="/tmp/other"))
    again = closing(kernel.run("%%chat\nHello.").expect_ok())
    assert again.startswith("fresh · ") and again.endswith("no history")
    kernel.run("del __vsc_ipynb_file__").expect_ok()


def test_settings_of_a_first_turn_hold_and_later_ones_are_for_their_turn(kernel: Kernel) -> None:
    kernel.run('%%chat settled -s "Answer in capitals, please." -n 4\nHello.').expect_ok()
    kernel.restart()
    load(kernel)
    ask = "%%chat settled{}\nWhat are your instructions?"
    assert "Answer in capitals, please." in kernel.run(ask.format("")).expect_ok().text.replace("’", "'")
    assert "Be kind." in kernel.run(ask.format(" -s 'Be kind.'")).expect_ok().text
    assert "Answer in capitals, please." in kernel.run(ask.format("")).expect_ok().text
    assert turns(kernel, "settled").sent_messages.tolist() == [0, 2, 4, 4]


def test_a_kernel_remembers_a_sessions_agent_and_its_dependencies(kernel: Kernel) -> None:
    code = """
def who(context: RunContext[str]) -> str:
    return f"You talk for {context.deps}."
helper = Agent(deps_type=str, instructions=who)
owner = "Fay"
"""
    kernel.run(f"from pydantic_ai import RunContext\n{code}").expect_ok()
    kernel.run("%%chat helped -a helper --deps owner\nHello.").expect_ok()
    ask = "%%chat helped\nWhat are your instructions?"
    assert "You talk for Fay." in kernel.run(ask).expect_ok().text
    kernel.run("owner = 'Gil'\nhelper = Agent(deps_type=str, instructions=who)").expect_ok()  # a cell that is run again
    assert "You talk for Gil." in kernel.run(ask).expect_ok().text
    assert turns(kernel, "helped").agent.tolist() == ["helper"] * 3
    kernel.restart()
    load(kernel)
    assert "it was asked with the agent 'helper' (-a helper)" in kernel.run(ask).expect_ok().text
    assert turns(kernel, "helped").agent.isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize("magic", ["%%time", "%%capture --no-display", "%%timeit -n 1 -r 1", "%%prun -q"])
def test_another_magic_may_stand_around_a_chat_cell(kernel: Kernel, magic: str) -> None:
    name = magic.split()[0].strip("%")
    kernel.run(f"{magic}\n%%chat {name}\nMy name is Hal.").expect_ok()
    assert prompts(kernel, name) == ["My name is Hal."]


def test_a_chat_cell_may_be_run_by_code(kernel: Kernel) -> None:
    code = "for name in ('Ivy', 'Jo'):\n    get_ipython().run_cell_magic('chat', 'looped', f'My name is {name}.')"
    assert len(kernel.run(code).expect_ok().displays) == 2
    assert prompts(kernel, "looped") == ["My name is Ivy.", "My name is Jo."]
    assert "Your name is Jo" in kernel.run("get_ipython().run_cell('%%chat looped\\nWhat is my name?').success").text


def test_a_prompt_of_a_megabyte_is_one_turn(kernel: Kernel) -> None:
    kernel.run("text = 'My name is Kim. ' + 'words and {{ braces }} that are \\\\text{{ none }} ' * 25_000").expect_ok()
    kernel.run("%%chat big\n{{ text }}", timeout=20).expect_ok()
    assert len(prompts(kernel, "big")[0]) > 1_000_000
    after = kernel.run("%%chat big\nWhat is my name?", timeout=20).expect_ok()
    assert "the newest turn alone is over the limit" in closing(after)


def test_five_thousand_pieces_are_drawn_some_fifteen_times_a_second(kernel: Kernel) -> None:
    kernel.run("many = pieces(*[f'{number} ' for number in range(5_000)])").expect_ok()
    result = kernel.run("%%chat many -a many\nCount.").expect_ok()
    (drawn,) = result.displays
    assert drawn.text.split()[:5_000] == [str(number) for number in range(5_000)]
    assert drawn.updates <= 3 + 16 * result.duration
    assert turns(kernel, "many").answer.tolist()[0].endswith("4999 ")


def test_an_answer_that_cannot_be_drawn_is_shown_as_text_and_stored(kernel: Kernel) -> None:
    broken = (
        "import chatnb.notebook.stream as stream\nsafe = stream.safe\ndef fail(text): raise TypeError('no drawing')"
    )
    kernel.run(f"{broken}\nstream.safe = lambda text: fail(text) if 'Lea' in text else safe(text)").expect_ok()
    result = kernel.run("%%chat undrawn\nMy name is Lea.").expect_ok()
    kernel.run("stream.safe = safe").expect_ok()
    assert "Hello Lea." in result.text and "TypeError: no drawing" in result.text
    assert turns(kernel, "undrawn").status.tolist() == ["ok"]
    assert "Your name is Lea." in kernel.run("%%chat undrawn\nWhat is my name?").expect_ok().text
