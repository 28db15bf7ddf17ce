"""`%%chat` over real HTTP: the real `openai` client, and the bytes that a server received."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rigs.cells import Notebook
from tests.rigs.kernel import Result
from tests.rigs.openai_server import Answer, Call, OpenAIServer, Refusal, Request, Usage

APIS = ("openai", "openai-chat")
AGENTS = """
from pydantic_ai import Agent
plain = Agent()
both = Agent(system_prompt="You count.", instructions="Only whole numbers.")
@both.tool_plain
def rows(table: str) -> int:
    return {"orders": 1240}[table]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server
        for request in server.requests:
            assert all(text for _, text in said(request)), "no message that was sent is empty"


@pytest.fixture(scope="module")
def notebook(server: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with Notebook(tmp_path_factory.mktemp("http"), server.environment) as notebook:
        notebook.ok(AGENTS)
        yield notebook


@pytest.fixture(autouse=True)
def own_script(server: OpenAIServer) -> Iterator[None]:
    """What a test that fails did not ask for does not answer the next one."""
    yield
    server.forget_script()


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def said(request: Request) -> list[tuple[str, str]]:
    """What a request says, in order: role and text; `instructions` of the Responses API go first."""
    body = request.json
    first = [("system", body["instructions"])] if body.get("instructions") else []
    return first + [pair for item in body.get("messages") or body["input"] for pair in _item(item)]


def _item(item: dict[str, Any]) -> list[tuple[str, str]]:
    kind, content = item.get("type"), item.get("content")
    if kind == "function_call":
        return [("call", _call(item))]
    if kind == "function_call_output":
        return [("tool", item["output"])]
    texts = content if isinstance(content, str) else "".join(part["text"] for part in content or ())
    calls = [call["function"] for call in item.get("tool_calls") or ()]
    own = [(item["role"], texts)] if texts else []
    return own + [("call", _call(call)) for call in calls]


def _call(call: dict[str, Any]) -> str:
    return f"{call['name']} {json.dumps(json.loads(call['arguments']))}"


def sent_since(server: OpenAIServer, before: int) -> list[Request]:
    return server.requests[before:]


def closing(result: Result) -> list[str]:
    """The parts of the closing line."""
    return result.text.strip().splitlines()[-1].split(" · ")


def test_the_history_is_sent_in_order_after_the_system_prompt_which_is_sent_once(
    notebook: Notebook, server: OpenAIServer, api: str
) -> None:
    before = len(server.requests)
    server.reply_with(Answer("It is in."), Answer("Seven columns."), Answer("None are."))
    notebook.ok(f"%%chat history-{api} -m {api}:gpt-5 -s 'Be brief, and \"exact\".'\nI load the table.")
    notebook.ok(f"%%chat history-{api}\nHow many columns?")
    notebook.ok(f"%%chat history-{api}\nWhich are empty?")
    paths = {"openai": "/v1/responses", "openai-chat": "/v1/chat/completions"}
    requests = sent_since(server, before)
    assert [request.path for request in requests] == 3 * [paths[api]]
    assert [request.headers["authorization"] for request in requests] == 3 * ["Bearer sk-test"]
    assert said(requests[2]) == [
        ("system", 'Be brief, and "exact".'),
        ("user", "I load the table."),
        ("assistant", "It is in."),
        ("user", "How many columns?"),
        ("assistant", "Seven columns."),
        ("user", "Which are empty?"),
    ]
    assert [said(requests[n]) for n in (0, 1)] == [said(requests[2])[:2], said(requests[2])[:4]]
    assert all(request.json["stream"] is True and request.json["model"] == "gpt-5" for request in requests)


def test_a_restarted_kernel_sends_the_same_history(server: OpenAIServer, notebook: Notebook) -> None:
    server.reply_with(Answer("One."), Answer("Two."))
    notebook.ok("%%chat restarted -m openai-chat:gpt-5 -s Count.\nFirst?")
    with Notebook(notebook.cwd, server.environment, name="other.ipynb") as second:
        heading = second.ok("%%chat restarted\nSecond?").splitlines()[0]
    assert heading == "continuing restarted: 1 turn, last just now, eda.ipynb"
    assert [text for _, text in said(server.requests[-1])] == ["Count.", "First?", "One.", "Second?"]


def test_the_answer_is_drawn_while_it_streams(notebook: Notebook, server: OpenAIServer, api: str) -> None:
    go_on = threading.Event()
    server.reply_with(Answer("Half of it, and the rest.", hold=go_on, hold_after=3))
    handle = notebook.start(f"%%chat streaming -m {api}:gpt-5\nTell me.", cell_id=f"streaming-{api}")
    handle.wait_for(lambda live: "Half of it," in live.text and "the rest" not in live.text)
    go_on.set()
    result = handle.result().expect_ok()
    assert "Half of it, and the rest." in result.text
    (shown,) = result.displays
    assert shown.updates >= 2 and "text/markdown" in shown.data


def test_the_parameters_arrive_and_json_values_with_their_types(
    notebook: Notebook, server: OpenAIServer, api: str
) -> None:
    server.reply_with(Answer("Yes."), Answer("Yes."))
    extra = """--opt 'extra_body={"user_tier": "gold"}' --opt max_tokens=200 --opt parallel_tool_calls=false"""
    notebook.ok(f"%%chat settings-{api} -m {api}:gpt-4o --temperature 0.3 --opt seed=1 {extra}\nIs it?")
    body = server.requests[-1].json
    assert (body["temperature"], body["user_tier"]) == (0.3, "gold")
    assert body["max_output_tokens" if api == "openai" else "max_completion_tokens"] == 200
    if api == "openai-chat":
        assert body["seed"] == 1  # the Responses API has no seed
    notebook.ok(f"%%chat settings-{api} --temperature 0.9\nAnd now?")
    body = server.requests[-1].json
    assert (body["temperature"], body["user_tier"]) == (0.9, "gold")  # the rest are the session's settings


def test_an_agents_tool_runs_and_its_calls_are_sent_back(notebook: Notebook, server: OpenAIServer, api: str) -> None:
    before = len(server.requests)
    server.reply_with(Answer(calls=(Call("rows", {"table": "orders"}),)), Answer("1,240 rows."), Answer("Half is 620."))
    result = notebook.run(f"%%chat tools-{api} -a both -m {api}:gpt-5\nHow many orders?").expect_ok()
    assert '[rows(table="orders")]' in result.text and "1,240 rows." in result.text
    assert "20 in + 10 out" in closing(result)
    notebook.ok(f"%%chat tools-{api}\nAnd half of it?")
    last = said(sent_since(server, before)[-1])
    assert sorted(text for role, text in last if role == "system") == ["Only whole numbers.", "You count."]
    assert last[2:] == [
        ("user", "How many orders?"),
        ("call", 'rows {"table": "orders"}'),
        ("tool", "1240"),
        ("assistant", "1,240 rows."),
        ("user", "And half of it?"),
    ]
    (first, _) = notebook.turns(f"tools-{api}")
    assert (first["requests"], first["tool_calls"], first["agent"]) == (2, 1, "both")
    assert [tool["name"] for tool in _tools(server.requests[-1])] == ["rows"]


def _tools(request: Request) -> list[dict[str, Any]]:
    return [tool.get("function", tool) for tool in request.json["tools"]]


def test_an_agents_own_prompts_are_sent_when_the_window_dropped_the_first_turn(
    notebook: Notebook, server: OpenAIServer, api: str
) -> None:
    server.reply_with(Answer("One."), Answer("Two."), Answer("Three."))
    notebook.ok(f"%%chat dropped-{api} -a both -m {api}:gpt-5 -s 'The session says this.' -n 2\nFirst?")
    notebook.ok(f"%%chat dropped-{api}\nSecond?")
    result = notebook.run(f"%%chat dropped-{api}\nThird?").expect_ok()
    assert closing(result)[-1] == "history 1 of 2 turns"
    texts = [text for role, text in said(server.requests[-1]) for text in text.split("\n\n") if role == "system"]
    assert sorted(texts) == ["Only whole numbers.", "The session says this.", "You count."]
    others = [pair for pair in said(server.requests[-1]) if pair[0] != "system"]
    assert others == [("user", "Second?"), ("assistant", "Two."), ("user", "Third?")]
    assert said(server.requests[-1])[0][0] == "system"


def test_the_closing_line_tells_usage_and_dollars(notebook: Notebook, server: OpenAIServer, api: str) -> None:
    server.reply_with(*2 * [Answer("Done.", usage=Usage(input=1240, output=310, cached=900))])
    first = closing(notebook.run(f"%%chat money-{api} -m {api}:gpt-5\nDo it.").expect_ok())
    assert first[:4] == [
        f"money-{api}",
        f"{api}:gpt-5",
        "1,240 in (900 cached) + 310 out",
        f"$0.0036 (money-{api} $0.0036)",
    ]
    second = closing(notebook.run(f"%%chat money-{api}\nAgain.").expect_ok())
    assert second[3] == f"$0.0036 (money-{api} $0.0073)" and second[5] == "history 1 of 1 turn"
    (turn, _) = notebook.turns(f"money-{api}")
    assert turn["cost"] == pytest.approx(340 * 1.25e-6 + 900 * 0.125e-6 + 310 * 10e-6)
    assert (turn["input_tokens"], turn["cache_read_tokens"], turn["output_tokens"]) == (1240, 900, 310)
    assert turn["provider"] == "openai"


def test_an_unknown_price_is_a_question_mark_and_never_nothing(
    notebook: Notebook, server: OpenAIServer, api: str
) -> None:
    server.reply_with(Answer("Hm."))
    result = notebook.run(f"%%chat unpriced-{api} -m {api}:in-house-7b\nWhat?").expect_ok()
    assert closing(result)[3] == f"$? (unpriced-{api} $?)"
    assert notebook.turns(f"unpriced-{api}")[0]["cost"] is None


def test_a_429_is_tried_again_as_the_client_does(notebook: Notebook, server: OpenAIServer, api: str) -> None:
    before = len(server.requests)
    server.reply_with(Refusal(429, "slow down", retry_after=0.01), Answer("At last."))
    assert "At last." in notebook.ok(f"%%chat retried-{api} -m {api}:gpt-5\nHello?")
    requests = sent_since(server, before)
    assert [request.headers["x-stainless-retry-count"] for request in requests] == ["0", "1"]
    assert requests[0].raw == requests[1].raw
    (turn,) = notebook.turns(f"retried-{api}")
    assert (turn["status"], turn["requests"]) == ("ok", 1)


def failed(notebook: Notebook, code: str) -> str:
    """The sentence of a turn that failed: it stands once in the cell, as its error below the closing line."""
    result = notebook.run(code)
    assert result.status == "error" and result.ename == "ModelError"
    assert result.traceback.strip() == f"ModelError: {result.evalue}"
    (shown,) = result.displays
    assert shown.text.splitlines()[-1].startswith("error · ") and result.text.count(result.evalue) == 1
    return result.evalue


def test_a_refused_key_is_one_sentence_that_names_it_and_the_prompt_is_kept(
    notebook: Notebook, server: OpenAIServer, api: str
) -> None:
    server.reply_with(Refusal(401, "Incorrect API key provided: sk-test", "invalid_api_key"), Answer("Hello."))
    sentence = failed(notebook, f"%%chat keyless-{api} -m {api}:gpt-5\nHello?")
    assert sentence == (
        "openai refused the key (401). Check the environment variable OPENAI_API_KEY, and that the key may use 'gpt-5'."
    )
    (turn,) = notebook.turns(f"keyless-{api}")
    assert (turn["status"], turn["prompt"], turn["answer"], turn["error"]) == ("error", "Hello?", "", sentence)
    notebook.ok(f"%%chat keyless-{api}\nHello again?")
    assert said(server.requests[-1]) == [("user", "Hello again?")]  # a prompt that nothing answered is not sent


def test_a_dropped_connection_keeps_what_came_and_the_next_turn_is_accepted(
    notebook: Notebook, server: OpenAIServer, api: str
) -> None:
    server.reply_with(Answer("one two three four", drop_after=3), Answer("Five."))
    sentence = failed(notebook, f"%%chat cut-{api} -m {api}:gpt-5\nCount to four.")
    assert sentence.startswith("openai dropped the connection before the answer was complete.")
    (turn,) = notebook.turns(f"cut-{api}")
    assert (turn["status"], turn["answer"], turn["requests"]) == ("error", "one two three", 1)
    notebook.ok(f"%%chat cut-{api}\nGo on.")
    assert said(server.requests[-1]) == [
        ("user", "Count to four."),
        ("assistant", "one two three [interrupted]"),
        ("user", "Go on."),
    ]


def test_a_refusal_between_two_tools_keeps_the_call_and_its_result(
    notebook: Notebook, server: OpenAIServer, api: str
) -> None:
    server.reply_with(Answer(calls=(Call("rows", {"table": "orders"}),)), Refusal(400, "bad day"), Answer("1,240."))
    assert failed(notebook, f"%%chat broken-{api} -a both -m {api}:gpt-5\nCount.") == (
        "openai refused the request (400): bad day"
    )
    notebook.ok(f"%%chat broken-{api}\nSo?")
    others = [pair for pair in said(server.requests[-1]) if pair[0] != "system"]
    assert others == [("user", "Count."), ("call", 'rows {"table": "orders"}'), ("tool", "1240"), ("user", "So?")]


@pytest.mark.parametrize("options", ["", "-n 0", "-n 2"])
def test_a_dry_run_shows_what_is_then_sent(notebook: Notebook, server: OpenAIServer, api: str, options: str) -> None:
    name = f"dry-{api}-{options.replace(' ', '')}"
    server.reply_with(
        Answer(calls=(Call("rows", {"table": "orders"}),)), Answer("1,240."), Answer("Yes."), Answer("No.")
    )
    notebook.ok(f"%%chat {name} -a both -m {api}:gpt-5 -s 'Be brief.'\nCount the orders.")
    notebook.ok(f"%%chat {name}\nIs it sorted?")
    notebook.ok("limit = 3")
    line, prompt = f"{name} {options} --opt max_tokens=50", "Over {{ limit }}? {x} {% y %} {# z #} $\\frac{1}{2}$"
    before, stored = len(server.requests), notebook.rows()
    notebook.ok(f"shown = get_ipython().run_cell_magic('chat', {line + ' --dry-run'!r}, {prompt!r})")
    assert len(server.requests) == before and notebook.rows() == stored
    table = notebook.value("json.loads(shown.to_json(orient='records'))")
    notebook.ok(f"%%chat {line}\n{prompt}")
    wire = said(server.requests[-1])
    assert ("user", "Over 3? {x} {% y %} {# z #} $\\frac{1}{2}$") in wire
    sent = [row for row in table if row["sent"]]
    assert [row["content"] for row in sent if row["role"] == ""] == [f"{api}:gpt-5 · max_tokens=50", "rows"]
    systems = [row["content"] for row in sent if row["role"] == "system"]
    assert sorted(systems) == sorted(text for role, texts in wire if role == "system" for text in texts.split("\n\n"))
    assert [_shown(row) for row in sent if row["role"] not in ("", "system")] == [
        pair for pair in wire if pair[0] != "system"
    ]
    left = [(row["content"], row["why"]) for row in table if not row["sent"]]
    assert (
        left
        == {
            "": [],
            "-n 0": [("Count the orders.", "no history is sent"), ("Is it sorted?", "no history is sent")],
            "-n 2": [("Count the orders.", "over the limit of 2 messages")],
        }[options]
    )


def _shown(row: dict[str, Any]) -> tuple[str, str]:
    """A row of the table as `said` tells a message."""
    role, content = row["role"], row["content"]
    if role == "tool":
        return "tool", content.removeprefix("rows ")
    if content.startswith("rows {"):
        return "call", _call({"name": "rows", "arguments": content.removeprefix("rows ")})
    return role, content
