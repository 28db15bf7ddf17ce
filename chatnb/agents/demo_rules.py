"""What the offline model says: a few rules over the messages that it is sent."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    SystemPromptPart,
    TextContent,
    TextPart,
    ToolReturnPart,
    UserPromptPart,
)

__all__ = ["View", "calculate", "facts_in", "prompt_text", "reply", "report", "shorten"]


@dataclass(frozen=True)
class View:
    """What the model sees of a conversation."""

    prompt: str
    earlier: tuple[str, ...]
    facts: dict[str, str]
    instructions: str
    answered: bool

    @classmethod
    def of(cls, messages: Sequence[ModelMessage]) -> View:
        requests = [message for message in messages if isinstance(message, ModelRequest)]
        prompts = [prompt_text(part) for one in requests for part in one.parts if isinstance(part, UserPromptPart)]
        system = [part.content for one in requests for part in one.parts if isinstance(part, SystemPromptPart)]
        latest = next((one.instructions for one in reversed(requests) if one.instructions), None)
        return cls(
            prompt=prompts[-1] if prompts else "",
            earlier=tuple(prompts[:-1]),
            facts=facts_in(prompts),
            instructions="\n\n".join([*system, *([latest] if latest else [])]),
            answered=any(isinstance(part, TextPart) for one in messages for part in one.parts),
        )


_END = r"(?=[.,;!?\n]|\s+and\s+(?:my|i|the)\b|$)"
_STATEMENTS = (
    (re.compile(rf"\b(?:my|our|the)\s+([\w ]{{1,40}}?)\s+(?:is|are)\s+(?!\?)(.+?){_END}", re.I), None),
    (re.compile(rf"\b(?:call me|i am called)\s+(.+?){_END}", re.I), "name"),
    (re.compile(r"\bI(?: am|['’]m)\s+([A-Z]\w+)(?=[.,;!?\n]|\s+and\b|$)"), "name"),
    (re.compile(rf"\b(?:i am|i['’]m)\s+(?!called\b)(.+?){_END}", re.I), "i am"),
    (re.compile(rf"\bi (?:really )?(?:like|love)\s+(.+?){_END}", re.I), "i like"),
    (re.compile(r"\bremember(?: that|:)\s+(.+?)(?=[.!?\n]|$)", re.I), "note"),
)


def facts_in(prompts: Sequence[str]) -> dict[str, str]:
    """What the user said of themselves; a later word replaces an earlier one.

    >>> facts_in(["My name is Alice and my city is Oslo. I like tea."])
    {'name': 'Alice', 'city': 'Oslo', 'i like': 'tea'}
    """
    facts: dict[str, str] = {}
    for prompt in prompts:
        for sentence in re.split(r"(?<=[.!?\n])\s+", prompt):
            if sentence.rstrip().endswith("?"):
                continue
            for pattern, key in _STATEMENTS:
                for match in pattern.finditer(sentence):
                    facts[key or match[1].strip().lower()] = match[match.lastindex or 1].strip()
    return facts


def reply(view: View) -> str:
    """The first rule that has something to say."""
    if said := _about_instructions(view):
        return said
    for rule in (_about_the_past, _about_facts, _sum, _sample, _new_facts, _greeting):
        if said := rule(view):
            return shorten(said, view.instructions)
    quoted = " ".join(view.prompt.split())
    quoted = quoted if len(quoted) <= 200 else quoted[:200] + "…"
    return f"You said: “{quoted}”. I only follow a few rules; ask “what can you do?” for them."


def _about_instructions(view: View) -> str | None:
    if not re.search(r"\b(your|the) (instructions?|system prompt)\b", view.prompt, re.I):
        return None
    return f"My instructions are: “{view.instructions}”" if view.instructions else "I was given no instructions."


def _about_the_past(view: View) -> str | None:
    earlier = view.earlier
    if re.search(r"\bhow many\b.*\b(turns?|messages?|questions?)\b", view.prompt, re.I):
        return f"I was sent {len(earlier)} earlier {'turn' if len(earlier) == 1 else 'turns'} and this one."
    asked = re.search(
        r"\b(what|which)\b.*\b(did i|i|have i|my)\b.*\b(ask|asked|say|said|question)\b", view.prompt, re.I
    )
    if not asked:
        return None
    if not earlier:
        return "I was sent no earlier question: this one is the first that I see."
    if re.search(r"\bfirst\b", view.prompt, re.I):
        return f"Your first question that I see was: “{earlier[0]}”"
    if re.search(r"\b(last|previous|just)\b", view.prompt, re.I):
        return f"Just before, you said: “{earlier[-1]}”"
    return "Before this you said:\n\n" + "\n".join(f"{n}. “{text}”" for n, text in enumerate(earlier, 1))


def _about_facts(view: View) -> str | None:
    prompt = view.prompt
    asked = re.search(r"\b(?:what|who|where|when|which)(?:['’]s| is| are| was)\s+(my|the|our)\s+([\w ]+)", prompt, re.I)
    if re.search(r"\bwho am i\b|\b(?:know|remember|tell me) my name\b|\bwhat my name is\b", prompt, re.I):
        asked = re.match(r"(my) (name)", "my name")
    if asked:
        key = asked[2].strip().lower()
        if key in view.facts:
            return f"{'The' if asked[1].lower() == 'the' else 'Your'} {key} is {view.facts[key]}."
        return _unknown(f"your {key}", view) if asked[1].lower() != "the" else None
    if re.search(r"\bwhat (?:do|did) i (?:like|love)\b", prompt, re.I):
        return f"You like {view.facts['i like']}." if "i like" in view.facts else _unknown("what you like", view)
    if re.search(r"\bwhat am i\b", prompt, re.I):
        return f"You are {view.facts['i am']}." if "i am" in view.facts else _unknown("what you are", view)
    if re.search(r"\b(?:what do you (?:know|remember)|do you remember)\b", prompt, re.I):
        known = "\n".join(f"- {key}: {value}" for key, value in view.facts.items())
        return f"I remember:\n\n{known}" if known else _unknown("anything about you", view)
    return None


def _unknown(what: str, view: View) -> str:
    if not view.earlier:
        return f"I do not know {what}: I was sent no earlier turn."
    seen = "the one earlier turn" if len(view.earlier) == 1 else f"the {len(view.earlier)} earlier turns"
    return f"I do not know {what}: nothing in {seen} that I was sent says it."


_WORDS = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/", "over": "/", "mod": "%"}
_SIGNS = {"×": "*", "·": "*", "÷": "/", "−": "-", "^": "**"}
_SUM = re.compile(r"[-(]*\d[\d.,]*(?:\s*(?:\*\*|//|[-+*/%()])[-+()\s]*[\d.,]*\)*)+")
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def _sum(view: View) -> str | None:
    text = view.prompt
    for word, sign in _WORDS.items():
        text = re.sub(rf"(?<=[\d)])\s+{word}\s+(?=[-(\d])", f" {sign} ", text)
    text = re.sub(r"(?<=[\d)])\s*x\s*(?=[-(\d])", " * ", text)
    for sign, plain in _SIGNS.items():
        text = text.replace(sign, plain)
    found = max((match[0].strip(" .,") for match in _SUM.finditer(text)), key=len, default="")
    try:
        value = calculate(found)
    except (ValueError, SyntaxError, OverflowError, MemoryError, RecursionError):
        return None
    except ZeroDivisionError:
        return f"{found} divides by zero, which has no result."
    return f"{found} = **{value}**"


def calculate(text: str) -> int | float:
    """The value of an expression of numbers, without `eval`.

    >>> calculate("12 * 7"), calculate("(1 + 2) ** 3 / 2")
    (84, 13.5)
    """

    def value(node: ast.expr) -> int | float:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return number
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return value(operand)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                one, two = value(left), value(right)
                if isinstance(sign, ast.Pow) and (abs(two) > 64 or abs(one) > 10_000):
                    raise OverflowError
                result = _OPERATORS[type(sign)](one, two)
                if isinstance(result, complex) or not math.isfinite(result) or abs(result) > 1e300:
                    raise OverflowError
                return result
        raise ValueError(text)

    result = value(ast.parse(text.replace(",", ""), mode="eval").body)
    return int(result) if isinstance(result, float) and result.is_integer() and abs(result) < 1e15 else result


_SAMPLES = {
    "table": "| month | sales |\n|:------|------:|\n| Jan | 120 |\n| Feb | 95 |\n| Mar | 143 |",
    "list": "1. Read the data\n2. Look at it\n   - missing values\n   - outliers\n3. Ask a question of it",
    "code": "```python\nimport pandas as pd\n\ndf = pd.DataFrame({'x': [1, 2, 3]})\nprint(df.describe())\n```",
    "markdown": "# A heading\n\nSome **bold**, _italic_, `code` and a [link](https://example.org).\n\n> A quotation.",
}


def _sample(view: View) -> str | None:
    if not re.search(r"\b(show|give|make|write|draw|print|example)\b", view.prompt, re.I):
        return None
    for kind, sample in _SAMPLES.items():
        if re.search(rf"\b{kind}\b", view.prompt, re.I):
            return f"Here is an example of a {kind}:\n\n{sample}".replace("a code", "code").replace(
                "a markdown", "Markdown"
            )
    return None


_FACT_WORDS = {"i am": "you are", "i like": "you like", "note": "remember that"}


def _new_facts(view: View) -> str | None:
    new = facts_in([view.prompt])
    if not new:
        return None
    if "name" in new:
        return f"Hello {new['name']}. I will know your name as long as this message is sent to me."
    return f"Noted: {', '.join(_FACT_WORDS.get(key, f'{key} is') + ' ' + fact for key, fact in new.items())}."


def _greeting(view: View) -> str | None:
    if re.search(r"\b(what can you do|help)\b", view.prompt, re.I):
        return (
            "I remember what you tell me (“My name is Alice”, then “What is my name?”), do sums (“12 * 7”), show a"
            " table, a list or code, call the tools that I am given, and say how much I see (“How many turns?”)."
        )
    if re.search(r"\b(thanks|thank you)\b", view.prompt, re.I):
        return "You are welcome."
    if re.match(r"\s*(hello|hi|hey|good (morning|evening|day))\b", view.prompt, re.I):
        return f"Hello {view.facts['name']}." if "name" in view.facts else "Hello. What is your name?"
    return None


def shorten(text: str, instructions: str) -> str:
    """The answer as briefly as the instructions ask: in one word, or in one sentence."""
    first = re.split(r"(?<=[.!?])\s|\n", text, maxsplit=1)[0]
    if re.search(r"\bone word\b|\bsingle word\b", instructions, re.I):
        return first.rstrip(".!?*”").rsplit(maxsplit=1)[-1].strip("*“”")
    return first if re.search(r"\b(brief|briefly|concise|short|one sentence)\b", instructions, re.I) else text


def report(results: Sequence[ToolReturnPart]) -> str:
    """What the tools gave, in words."""
    lines = []
    for part in results:
        said = part.model_response_str(wrap_if_error=False) or "nothing"
        if part.outcome == "success":
            lines.append(f"`{part.tool_name}` gave: {said}")
        elif part.outcome == "retried":
            lines.append(f"Sorry, I called `{part.tool_name}` wrongly, and it asks me to try again: {said}")
        else:
            lines.append(f"Sorry, `{part.tool_name}` did not work ({part.outcome}): {said}")
    return lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)


def prompt_text(part: UserPromptPart) -> str:
    """The text of a prompt, without its files."""
    if isinstance(part.content, str):
        return part.content
    return " ".join(
        item if isinstance(item, str) else item.content for item in part.content if isinstance(item, str | TextContent)
    )
