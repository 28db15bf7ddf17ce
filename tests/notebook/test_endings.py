"""How a turn may end, and that the next one is accepted by the strictest model whatever happened."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.kernels import answer, chat_kernel, closing, history, load, prompts, store_of, turns
from tests.rigs.kernel import Kernel, Result
from tests.rigs.openai_server import Answer, Call, OpenAIServer

TOOLS = """
import pathlib, signal, sqlite3, time

def slow() -> str:
    pathlib.Path("started").touch()
    time.sleep(60)
    return "late"

def fail() -> str:
    raise OSError("the disk is gone")

def quick() -> str:
    return "17"

async def hang() -> str:
    pathlib.Path("started").touch()
    await __import__("asyncio").Event().wait()
    return "late"
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with chat_kernel(tmp_path_factory.mktemp("work")) as kernel:
        prepare(kernel)
        yield kernel


def prepare(kernel: Kernel) -> None:
    code = "provider = strict()\ndoubtful = hanging('The mean ', 'is ')\nbroken = pieces('One ', 'ValueError: no more')"
    kernel.run(f"{TOOLS}\n{code}").expect_ok()


def wait_for(path: Path, timeout: float = 30) -> None:
    """Until another process has made the file; takes it away."""
    deadline = time.monotonic() + timeout
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come within {timeout} s"
        time.sleep(0.005)
    path.unlink()


def accepted(kernel: Kernel, session: str) -> int:
    """How many messages the strict model accepts in the session's next turn."""
    result = kernel.run(f"%%chat {session} -a provider\nGo on.").expect_ok()
    return int(answer(result).split("Accepted ")[1].split()[0])


def one_line(result: Result, kind: str) -> str:
    """The one line of the cell's error."""
    assert (result.status, result.ename) == ("error", kind), result.text
    assert "\n" not in result.traceback.strip()
    return result.traceback.strip().removeprefix(f"{kind}: ")


def test_an_interrupt_while_an_answer_streams_keeps_it_and_stops_run_all(kernel: Kernel) -> None:
    running = kernel.start("%%chat streaming -a doubtful\nWhat is the mean?")
    after = kernel.start("print('the next cell ran')")
    running.wait_for(lambda so_far: "is" in so_far.text)
    kernel.interrupt()
    assert one_line(running.result(10), "TurnInterrupted") == "Interrupted; what there is is kept."
    assert after.result(10).status == "aborted"
    assert answer(running.live) == "The mean is" and closing(running.live).startswith("interrupted · streaming · ")
    (turn,) = turns(kernel, "streaming").itertuples()
    assert (turn.status, turn.answer) == ("interrupted", "The mean is ")
    assert history(kernel, "streaming").content.tolist() == ["What is the mean?", "The mean is "]
    assert accepted(kernel, "streaming") == 3


def test_two_quick_interrupts_are_one(kernel: Kernel) -> None:
    running = kernel.start("%%chat twice -a doubtful\nWhat is the mean?")
    running.wait_for(lambda so_far: "is" in so_far.text)
    kernel.interrupt()
    kernel.interrupt()
    one_line(running.result(10), "TurnInterrupted")
    assert turns(kernel, "twice").status.tolist() == ["interrupted"]
    assert kernel.run("1 + 1").expect_ok().text == "2"
    assert accepted(kernel, "twice") == 3


def test_an_interrupt_before_the_first_word_keeps_the_prompt(kernel: Kernel) -> None:
    kernel.run("silent = hanging()").expect_ok()
    running = kernel.start("%%chat silent -a silent\nIs anybody there?")
    running.wait_for(lambda so_far: "asking" in so_far.displays[0].data["text/markdown"] if so_far.displays else False)
    kernel.interrupt()
    one_line(running.result(10), "TurnInterrupted")
    assert prompts(kernel, "silent") == ["Is anybody there?"]
    assert accepted(kernel, "silent") == 1  # a turn that is nothing but a prompt is not sent


@pytest.mark.parametrize("tool", ["slow", "hang"])
def test_an_interrupt_stops_a_tool(kernel: Kernel, tool: str) -> None:
    kernel.run(f"stuck = calling(quick, {tool})").expect_ok()
    running = kernel.start(f"%%chat tool-{tool} -a stuck\nMeasure it.")
    wait_for(kernel.cwd / "started")
    kernel.interrupt()
    one_line(running.result(10), "TurnInterrupted")
    assert "Stopped before it gave a result." in running.live.displays[0].data["text/markdown"]
    assert turns(kernel, f"tool-{tool}").status.tolist() == ["interrupted"]
    assert accepted(kernel, f"tool-{tool}") in (1, 3)


@pytest.mark.parametrize(
    "ask",
    ["%%time\n%%chat {} -a {}\nMeasure it.", "turn = chatnb.Chat('{}', agent={}).send('Measure it.')"],
    ids=["time", "Python"],
)
def test_an_interrupt_reaches_a_turn_that_another_magic_or_python_runs(kernel: Kernel, ask: str) -> None:
    kernel.run("stuck = calling(slow)\ntalking = calling(quick, hang)").expect_ok()
    name = "within" + ask[0].strip("%")
    for agent in ("stuck", "talking"):
        running = kernel.start(ask.format(name, agent))
        wait_for(kernel.cwd / "started")
        kernel.interrupt()
        assert (running.result(10).status, running.live.ename) == ("error", "TurnInterrupted"), running.live.text
    assert turns(kernel, name).status.tolist() == ["interrupted"] * 2
    assert accepted(kernel, name) >= 1


def test_a_failing_model_keeps_the_prompt_and_what_it_said(kernel: Kernel) -> None:
    result = kernel.run("%%chat failing -a broken\nCount.")
    assert one_line(result, "ModelError") == "ValueError: no more"
    assert answer(result) == "One" and closing(result).startswith("error · failing · ")
    (turn,) = turns(kernel, "failing").itertuples()
    assert (turn.status, turn.prompt, turn.answer, turn.error) == ("error", "Count.", "One ", "ValueError: no more")
    assert accepted(kernel, "failing") == 3


def test_a_model_that_fails_at_once_keeps_the_prompt(kernel: Kernel) -> None:
    kernel.run("dead = pieces('ValueError: refused')").expect_ok()
    one_line(kernel.run("%%chat dead -a dead\nHello?"), "ModelError")
    assert prompts(kernel, "dead") == ["Hello?"]
    assert accepted(kernel, "dead") == 1


def test_an_agent_that_fails_before_its_request_keeps_the_prompt(kernel: Kernel) -> None:
    code = "unready = Agent(provider.model)\n@unready.instructions\ndef rules() -> str:\n    raise KeyError('no rules')"
    kernel.run(code).expect_ok()
    assert "no rules" in one_line(kernel.run("%%chat unready -a unready\nHello?"), "ModelError")
    assert prompts(kernel, "unready") == ["Hello?"]
    assert turns(kernel, "unready").status.tolist() == ["error"]
    assert "Accepted" in kernel.run("%%chat unready -a provider\nHello?").expect_ok().text


def test_a_failing_tool_is_named_and_the_turn_can_go_on(kernel: Kernel) -> None:
    kernel.run("clumsy = calling(quick, fail)").expect_ok()
    said = one_line(kernel.run("%%chat tool-fails -a clumsy\nMeasure it."), "ModelError")
    assert said == "Tool 'fail' failed: OSError: the disk is gone"
    accepted(kernel, "tool-fails")


def test_what_is_no_agent_leaves_nothing_behind(kernel: Kernel) -> None:
    said = one_line(kernel.run("%%chat nobody -a pathlib\nHello?"), "AgentError")
    assert "not an agent" in said
    assert turns(kernel, "nobody").empty
    with store_of(kernel) as store:
        assert "No session named 'nobody'" in kernel.run("%chat show nobody").text and store.recover() == []


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Kernel]:
    with chat_kernel(tmp_path) as kernel:
        prepare(kernel)
        yield kernel


def test_a_killed_kernel_loses_at_most_the_message_in_flight(victim: Kernel) -> None:
    victim.run("measure = calling(slow, quick, rounds=2)\nonce = calling(quick)").expect_ok()
    victim.run("%%chat killed -a once\nMeasure it once.").expect_ok()
    running = victim.start("%%chat killed -a measure\nMeasure it again.")
    wait_for(victim.cwd / "started")
    victim.kill9()
    assert running.result(10).status == "died"
    victim.restart()
    load(victim)
    prepare(victim)
    assert accepted(victim, "killed") == 5  # the whole first turn and the new prompt
    first, second, third = turns(victim, "killed").itertuples()
    assert (first.status, second.status, third.status) == ("ok", "interrupted", "ok")
    assert second.prompt == "Measure it again." and "ended before the answer did" in second.error
    kept = history(victim, "killed")
    assert kept.seq.tolist() == list(range(1, 9))
    assert kept[kept.turn_id == second.id].role.tolist() == ["user", "assistant"]  # the prompt and the call


def test_a_kernel_killed_before_the_first_word_keeps_the_prompt(victim: Kernel) -> None:
    victim.run("import pathlib\nsilent = hanging()").expect_ok()
    running = victim.start("%%chat silent -a silent\nIs anybody there?")
    running.wait_for(lambda so_far: bool(so_far.displays))
    deadline = time.monotonic() + 10
    while not any(b'"kind":"open"' in file.read_bytes() for file in victim.cwd.rglob("*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    victim.kill9()
    assert running.result(10).status == "died"
    with store_of(victim) as store:
        assert [turn.status for turn in store.recover()] == ["interrupted"]
    assert prompts(victim, "silent") == ["Is anybody there?"]


STALL = """
import asyncio
from pydantic_ai import Agent
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

async def stall(messages, info):
    if len(messages) == 1:
        yield {0: DeltaToolCall("quick", "{}", tool_call_id="c")}
    else:
        pathlib.Path("started").touch()
        await asyncio.Event().wait()

stalled = Agent(FunctionModel(stream_function=stall), tools=[quick])
"""


def test_a_kernel_killed_while_the_model_thinks_over_a_tools_result_keeps_the_result(victim: Kernel) -> None:
    victim.run(STALL).expect_ok()
    running = victim.start("%%chat thinking -a stalled\nMeasure.")
    wait_for(victim.cwd / "started")
    victim.kill9()
    assert running.result(10).status == "died"
    assert history(victim, "thinking").role.tolist() == ["user", "assistant", "tool"]
    victim.restart()
    load(victim)
    prepare(victim)
    assert accepted(victim, "thinking") == 3  # the new prompt goes with the result, in one request


def test_a_tools_prints_and_displays_appear_under_its_cell(kernel: Kernel) -> None:
    code = """
def draw() -> str:
    print("printed in a tool")
    display({"drawn": "in a tool"})
    return "1"

async def adraw() -> str:
    await __import__("asyncio").sleep(0)
    print("printed in an async tool")
    display({"drawn": "in an async tool"})
    return "2"
painter = calling(draw, adraw)
"""
    kernel.run(code).expect_ok()
    for ask in ("%%chat painted -a painter\nDraw.", "%%time\n%%chat painted -a painter\nDraw."):
        result = kernel.run(ask).expect_ok()
        # Under %%time the two tools print from two threads, and a line's end is a write of its own.
        assert "printed in a tool" in result.stdout and "printed in an async tool" in result.stdout
        shown = [output.text for output in result.displays]
        assert "{'drawn': 'in a tool'}" in shown and "{'drawn': 'in an async tool'}" in shown
        assert "The tools gave 1, 2." in result.text


@pytest.mark.parametrize(
    "ask",
    [
        "%%chat {} -a counter\nCount.",
        "%%time\n%%chat {} -a counter\nCount.",
        "turn = chatnb.Chat('{}', agent=counter).send('Count.')\nprint(turn.answer)",
    ],
    ids=["chat", "time", "Python"],
)
def test_a_synchronous_tool_uses_the_notebooks_own_connection(kernel: Kernel, ask: str) -> None:
    code = """
connection = sqlite3.connect(":memory:")
connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
def count() -> int:
    return connection.execute("SELECT answer FROM t").fetchone()[0]
counter = calling(count)
"""
    kernel.run(code).expect_ok()
    assert "The tools gave 42." in kernel.run(ask.format("sqlite")).expect_ok().text


def test_a_limit_of_requests_is_an_end_and_continue_goes_on(kernel: Kernel) -> None:
    kernel.run("patient = calling(quick, rounds=3)").expect_ok()
    stopped = kernel.run("%%chat patient -a patient --max-requests 2\nMeasure it.").expect_ok()
    assert "Stopped after 2 requests to the model; %chat continue goes on from here." in stopped.text
    assert closing(stopped).startswith("interrupted · patient · ")
    assert kernel.run("_.status").text == "'interrupted'"
    went_on = kernel.run("%chat continue").expect_ok()
    assert "The tools gave 17, 17, 17." in went_on.text
    assert turns(kernel, "patient").status.tolist() == ["interrupted", "ok"]
    assert prompts(kernel, "patient") == ["Measure it."]
    assert accepted(kernel, "patient") == 9
    assert "has ended" in one_line(kernel.run("%chat continue"), "BadInput")


def test_continue_goes_on_after_an_interrupt(kernel: Kernel) -> None:
    running = kernel.start("%%chat again -a doubtful\nWhat is the mean?")
    running.wait_for(lambda so_far: "is" in so_far.text)
    kernel.interrupt()
    running.result(10)
    kernel.run("doubtful = provider").expect_ok()
    assert "Accepted 3 messages." in kernel.run("%chat continue").expect_ok().text
    kernel.run("doubtful = hanging('The mean ', 'is ')").expect_ok()


def test_retry_asks_the_newest_question_again_and_keeps_the_old_answer(kernel: Kernel) -> None:
    kernel.run("wrong, right = pieces('Wrong.'), pieces('Right.')\nguess = wrong").expect_ok()
    kernel.run("%%chat retried -a guess\nWhat is it?", cell_id="retried-1").expect_ok()
    kernel.run("guess = right").expect_ok()
    result = kernel.run("%chat retry").expect_ok()
    assert answer(result) == "Right." and "1 turn left as a branch" in closing(result)
    assert history(kernel, "retried").content.tolist() == ["What is it?", "Right."]
    assert turns(kernel, "retried").answer.tolist() == ["Wrong.", "Right."]


def test_an_agent_awaited_in_a_cell_works_in_chat_and_back(kernel: Kernel) -> None:
    with OpenAIServer(otherwise=Answer("Hello there.")) as server:
        code = f"""
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
remote = Agent(OpenAIChatModel("gpt-5", provider=OpenAIProvider(base_url={server.url!r}, api_key="sk-test")))
"""
        kernel.run(code).expect_ok()
        cells = [
            "print((await remote.run('one')).output)",
            "%%chat loops -a remote\ntwo",
            "print((await remote.run('three')).output)",
            "%%time\n%%chat loops -a remote\nfour",
            "print(chatnb.Chat('loops', agent=remote).send('five').answer)",
            "print((await chatnb.Chat('loops', agent=remote).asend('six')).answer)",
            "print((await remote.run('seven')).output)",
            "%%chat loops -a remote\neight",
        ]
        for cell in cells:
            assert "Hello there." in kernel.run(cell).expect_ok().text, cell
        assert len(server.requests) == len(cells)
        kernel.run("await remote.model.client.close()").expect_ok()
    assert prompts(kernel, "loops") == ["two", "four", "five", "six", "eight"]


def test_a_tool_over_http_is_stored_call_by_call(kernel: Kernel) -> None:
    with OpenAIServer(Answer(calls=(Call("quick", {}),)), Answer("It is 17.")) as server:
        code = f"""
provided = OpenAIProvider(base_url={server.url!r}, api_key="sk-test")
measuring = Agent(OpenAIChatModel("gpt-5", provider=provided), tools=[quick])
"""
        kernel.run(code).expect_ok()
        result = kernel.run("%%chat measured -a measuring\nMeasure it.").expect_ok()
        kernel.run("await provided.client.close()").expect_ok()
    assert "It is 17." in result.text
    assert history(kernel, "measured").role.tolist() == ["user", "assistant", "tool", "assistant"]
