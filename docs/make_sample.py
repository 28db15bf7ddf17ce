"""Writes notebooks/sample.jsonl: four weeks of conversations of one data scientist, for the manual and for Binder.

Everything in it is made up, the same every time: texts from short lists, times and sizes from a seeded generator.
Prices are those that genai-prices knows for the models named.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from chatnb import models
from chatnb.formats.pydantic_ai import to_record
from chatnb.records import Branch, Message, Session, ToolCall, Turn, Usage
from chatnb.stores.copying import Whole
from chatnb.transfer.jsonl import FORMAT

PAGE = Path(__file__).parents[1] / "notebooks" / "sample.jsonl"
START = datetime(2026, 10, 5, tzinfo=UTC)
MODELS = ("openai:gpt-5", "openai:gpt-5-mini", "anthropic:claude-sonnet-4-5", "ollama:llama3.2")
WEIGHTS = (5, 4, 3, 2)

TOPICS: dict[str, tuple[tuple[str, str], ...]] = {
    "churn model": (
        ("Which features would you start with for churn on a monthly subscription?",
         "Start with what changes before people leave:\n\n1. days since the last login\n2. support tickets in 30 days\n3. a price change in the last 60 days\n\nAdd tenure last: it is strong, and hides the rest."),
        ("The classes are 3 % and 97 %. Accuracy is useless, so what do I report?",
         "Report **average precision** and the recall at the number of calls your team can make. With 3 % positives the ROC curve looks good whatever you do."),
        ("Show me how to calibrate the scores.",
         "```python\nfrom sklearn.calibration import CalibratedClassifierCV\n\ncalibrated = CalibratedClassifierCV(model, method=\"isotonic\", cv=5)\n```\n\nIsotonic needs a thousand positives or so; below that take `method=\"sigmoid\"`."),
        ("The calibration curve bends at the top. Why?",
         "Few rows lie there. Draw the bins with equal counts, not equal widths, and the bend will mostly be noise."),
    ),
    "sales by city": (
        ("How many units did Oslo sell?", "Oslo sold **120** units."),
        ("And Pune?", "Pune sold **215** units, the most of the three."),
        ("Which city grew fastest this quarter?", "Lima: from 62 to 80 units, which is 29 %."),
    ),
    "slow join": (
        ("This join takes four minutes. What do I look at first?",
         "The row counts before and after each join. A join that multiplies rows is the usual cause:\n\n| step | rows |\n|---|---|\n| orders | 1.2 M |\n| + items | 4.9 M |\n| + prices | **61 M** |"),
        ("prices has several rows a product. How do I take the one valid at the order's date?",
         "An as-of join: `FROM orders ASOF JOIN prices ON orders.product = prices.product AND orders.day >= prices.valid_from`."),
        ("It is 2 seconds now.", "Good. Keep a test with two prices for one product, so that it stays so."),
    ),
    "quarterly report": (
        ("Draft a summary of the quarter in three sentences: revenue +8 %, churn 2.1 %, two outages.",
         "Revenue grew by 8 % while churn stayed at 2.1 %. Two outages cost us trust with the largest accounts. The next quarter is about keeping what we won."),
        ("Less drama.", "Revenue rose by 8 % and churn was 2.1 %. Two outages affected large accounts. We plan to stay on this course."),
    ),
    "time zones": (
        ("My timestamps jump by an hour in March. Why?",
         "They are local times, and the clock changed. Store UTC and convert for display: `ts.dt.tz_localize(\"Europe/Oslo\", ambiguous=\"NaT\").dt.tz_convert(\"UTC\")`."),
        ("Which rows are ambiguous?", "Those between 02:00 and 03:00 on the last Sunday of October; each stands for two moments."),
    ),
    "interview notes": (
        ("Cluster these 40 interview notes into themes.",
         "Four themes come up: *price* (14 notes), *import is slow* (11), *missing export* (9), *praise for support* (6)."),
        ("Quote two of the import notes.", "> \"I start the import and go for lunch.\"\n\n> \"It says 99 % for ten minutes.\""),
    ),
}  # fmt: skip
TAGS = {"churn model": ("ml", "customers"), "sales by city": ("sql",), "slow join": ("sql", "performance"),
        "quarterly report": ("writing",), "time zones": ("pandas",), "interview notes": ("research",)}  # fmt: skip
TOOL = {"How many units did Oslo sell?": ("Oslo", "120"), "And Pune?": ("Pune", "215")}


class Maker:
    """Makes sessions with ids, times and sizes that are the same in every run."""

    def __init__(self) -> None:
        self._random = random.Random(20261005)

    def sessions(self) -> Iterator[Whole]:
        """Every session, in the order they began."""
        for day in range(26):
            moment = START + timedelta(days=day)
            if moment.weekday() >= 5 and self._random.random() < 0.8:
                continue
            for _ in range(self._random.choice((1, 2, 2, 3))):
                topic = self._random.choice(list(TOPICS))
                hour = self._random.choice((8, 9, 9, 10, 10, 11, 13, 14, 14, 15, 16, 20))
                yield self._session(topic, moment + timedelta(hours=hour, minutes=self._random.randrange(60)))

    def _id(self, moment: datetime) -> str:
        """A UUIDv7 of this moment (RFC 9562)."""
        value = (int(moment.timestamp() * 1000) << 80) | (7 << 76) | (self._random.getrandbits(12) << 64)
        return str(uuid.UUID(int=value | (2 << 62) | self._random.getrandbits(62)))

    def _session(self, topic: str, moment: datetime) -> Whole:
        model = self._random.choices(MODELS, WEIGHTS)[0]
        session = Session(
            id=self._id(moment), user_id="alice", name=topic, model=model, tags=TAGS[topic], branch_id=self._id(moment),
            created_at=moment, agent="analyst" if topic == "sales by city" else None,
        )  # fmt: skip
        turns: list[Turn] = []
        messages: list[Message] = []
        calls: list[ToolCall] = []
        for prompt, answer in TOPICS[topic][: self._random.randint(1, len(TOPICS[topic]))]:
            turn, said, called = self._turn(session, prompt, answer, moment, len(messages))
            turns.append(turn)
            messages += said
            calls += called
            moment += timedelta(minutes=self._random.randint(1, 9), seconds=self._random.randrange(60))
        branch = Branch(
            id=session.branch_id, session_id=session.id, user_id="alice", last_seq=len(messages), turn_count=len(turns),
            created_at=session.created_at,
        )  # fmt: skip
        ended = replace(session, message_count=len(messages), last_message_at=moment, updated_at=moment)
        return Whole(
            session=ended, branches=(branch,), turns=tuple(turns), messages=tuple(messages), calls=tuple(calls)
        )

    def _turn(
        self, session: Session, prompt: str, answer: str, moment: datetime, before: int
    ) -> tuple[Turn, list[Message], list[ToolCall]]:
        turn_id = self._id(moment)
        failed = self._random.random() < 0.04
        said = self._said(session, prompt, answer, moment, before, failed)
        calls = self._calls(turn_id, said, moment)
        used = [one.usage for one in said if isinstance(one, ModelResponse)]
        usage = Usage(input_tokens=sum(u.input_tokens for u in used), output_tokens=sum(u.output_tokens for u in used))
        slow = {"openai:gpt-5": 5.5, "ollama:llama3.2": 9.0}.get(session.model or "", 2.4)
        seconds = slow * self._random.lognormvariate(0, 0.4) + usage.output_tokens / 90
        turn = Turn(
            id=turn_id, session_id=session.id, branch_id=session.branch_id, user_id="alice", prompt=prompt,
            status="error" if failed else "ok", answer="" if failed else answer, agent=session.agent,
            error="openai is overloaded (503). The prompt is kept; %chat retry asks again." if failed else None,
            model=session.model, provider=(session.model or "").partition(":")[0], requests=len(used),
            tool_calls=len(calls), input_tokens=usage.input_tokens, output_tokens=usage.output_tokens,
            cost=models.price(session.model, usage), sent_messages=before, sent_tokens=before * 60, started_at=moment,
            first_token_ms=None if failed else seconds * 220, duration_ms=seconds * 1000, notebook="analysis.ipynb",
            host="laptop:4711",
        )  # fmt: skip
        rows = [
            replace(
                to_record(message, position=place)[0], id=self._id(moment), session_id=session.id,
                branch_id=session.branch_id, seq=before + place + 1, turn_id=turn_id,
                cost=self._cost(session, message),
            )
            for place, message in enumerate(said)
        ]  # fmt: skip
        return turn, rows, calls

    def _cost(self, session: Session, message: ModelMessage) -> float | None:
        if not isinstance(message, ModelResponse):
            return None
        used = Usage(input_tokens=message.usage.input_tokens, output_tokens=message.usage.output_tokens)
        return models.price(session.model, used)

    def _said(
        self, session: Session, prompt: str, answer: str, moment: datetime, before: int, failed: bool
    ) -> list[ModelMessage]:
        sent = 40 + before * 60 + len(prompt) // 4
        asked: list[ModelMessage] = [
            ModelRequest(parts=[UserPromptPart(prompt, timestamp=moment)], timestamp=moment, run_id=self._id(moment))
        ]
        if failed:
            return asked
        name = (session.model or "").partition(":")[2]

        def response(part: TextPart | ToolCallPart, tokens: int, seconds: int) -> ModelResponse:
            return ModelResponse(
                parts=[part], model_name=name, provider_name=(session.model or "").partition(":")[0],
                usage=RequestUsage(input_tokens=sent, output_tokens=tokens),
                timestamp=moment + timedelta(seconds=seconds),
            )  # fmt: skip

        if prompt in TOOL:
            city, units = TOOL[prompt]
            call_id = f"call_{self._random.getrandbits(32):08x}"
            later = moment + timedelta(seconds=2)
            returned = ToolReturnPart("units_sold", units, call_id, timestamp=later)
            asked += [
                response(ToolCallPart("units_sold", {"city": city}, call_id), 18, 1),
                ModelRequest(parts=[returned], timestamp=later),
            ]
        return [*asked, response(TextPart(answer), len(answer) // 4 + self._random.randint(0, 60), 3)]

    def _calls(self, turn_id: str, said: list[ModelMessage], moment: datetime) -> list[ToolCall]:
        calls = [part for one in said for part in one.parts if isinstance(part, ToolCallPart)]
        results = {
            part.tool_call_id: str(part.content)
            for one in said
            for part in one.parts
            if isinstance(part, ToolReturnPart)
        }
        return [
            ToolCall(
                turn_id=turn_id, call_id=call.tool_call_id, tool=call.tool_name, arguments=call.args_as_dict(),
                result=results[call.tool_call_id], started_at=moment + timedelta(seconds=1),
                duration_ms=round(self._random.uniform(3, 40), 1),
            )
            for call in calls
        ]  # fmt: skip


if __name__ == "__main__":
    assert FORMAT.write is not None
    PAGE.unlink(missing_ok=True)
    FORMAT.write(Maker().sessions(), PAGE)
    print(PAGE.name)
