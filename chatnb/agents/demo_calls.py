"""Which tools the offline model calls, and with which arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic_ai.tools import ToolDefinition

__all__ = ["Filling", "asked_tools", "fill"]

_PLAIN_VERBS = frozenset(
    {"get", "fetch", "find", "run", "do", "make", "compute", "calculate", "lookup", "query", "the"}
)


def asked_tools(prompt: str, tools: Sequence[ToolDefinition]) -> list[tuple[ToolDefinition, str]]:
    """The tools that a prompt asks for, in its order, each with the piece of the prompt that is about it."""
    text = prompt.lower().replace("_", " ")
    found: list[tuple[int, ToolDefinition]] = []
    for tool in tools:
        words = [word for word in re.split(r"[_\W]+", tool.name.lower()) if word]
        telling = [word for word in words if word not in _PLAIN_VERBS] or words
        places = [re.search(rf"\b{re.escape(word)}\b", text) for word in telling]
        if all(places):
            found.append((min(place.start() for place in places if place), tool))
    if not found and (asked := re.search(r"\b(?:use|call|run|with)\s+(?:the|a|your|all|all the)?\s*tool(s?)\b", text)):
        found = [(asked.start(), tool) for tool in (tools if asked[1] else tools[:1])]
    found.sort(key=lambda one: one[0])
    starts = [0, *(place for place, _ in found[1:])]
    ends = [*starts[1:], len(prompt)]
    pieces = [prompt[start:end] for start, end in zip(starts, ends, strict=True)] if found else []
    return [(tool, piece or prompt) for (_, tool), piece in zip(found, pieces, strict=True)]


def fill(tool: ToolDefinition, text: str, facts: Mapping[str, str] | None = None) -> dict[str, object]:
    """Arguments for a tool: its parameters from the numbers, quotations and names in `text`, else plain defaults."""
    schema = tool.parameters_json_schema
    value = Filling(schema, text, facts or {}).value(schema)
    return value if isinstance(value, dict) else {}


_DATES = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "demo@example.org",
    "uri": "https://example.org",
}


class Filling:
    """Values for a JSON schema, taken from a text in their order.

    Parameters
    ----------
    root
        The whole schema, where `$ref` is looked up.
    text
        The prompt, or the piece of it that is meant.
    facts
        What is known already, by the name of the property.
    """

    def __init__(self, root: Mapping[str, object], text: str, facts: Mapping[str, str]) -> None:
        self.root = root
        self.text = text
        self.facts = facts
        self.quoted = re.findall(r"[\"“'‘]([^\"“”'‘’]+)[\"”'’]", text)
        self.numbers = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", re.sub(r"[\"“'‘][^\"“”'‘’]+[\"”'’]", " ", text))
        self.names = re.findall(r"\b(?:in|for|of|about|to|named|called|from)\s+((?:[A-Z][\w-]*\s?)+|[a-z-]+)", text)

    def value(self, schema: object, name: str = "") -> object:
        """A value that fits `schema`, for the property `name`."""
        shape = self._resolved(schema)
        if "const" in shape:
            return shape["const"]
        choices = shape.get("enum")
        if isinstance(choices, list) and choices:
            return next((one for one in choices if str(one).lower() in self.text.lower()), choices[0])
        kind = shape.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        match kind:
            case "object":
                return self._object(shape)
            case "array":
                return self._array(shape, name)
            case "integer" | "number":
                return self._number(shape, whole=kind == "integer")
            case "boolean":
                return not re.search(r"\b(no|not|false|off|without)\b", self.text, re.I)
            case "null":
                return None
        return self._text(shape, name)

    def _resolved(self, schema: object) -> Mapping[str, object]:
        shape: object = schema
        for _ in range(20):  # a schema that refers to itself ends somewhere
            if not isinstance(shape, Mapping):
                return {}
            reference, options = shape.get("$ref"), shape.get("anyOf") or shape.get("oneOf") or shape.get("allOf")
            if isinstance(reference, str):
                shape = self.root
                for step in reference.removeprefix("#/").split("/"):
                    shape = shape.get(step, {}) if isinstance(shape, Mapping) else {}
            elif isinstance(options, list) and options:
                shape = next((one for one in options if one != {"type": "null"}), options[0])
            else:
                return shape
        return {}

    def _object(self, shape: Mapping[str, object]) -> dict[str, object]:
        properties, required = shape.get("properties"), shape.get("required")
        if not isinstance(properties, Mapping):
            return {}
        wanted = required if isinstance(required, list) else []
        return {
            str(name): self.value(inner, str(name))
            for name, inner in properties.items()
            if name in wanted or self._mentions(self._resolved(inner))
        }

    def _mentions(self, shape: Mapping[str, object]) -> bool:
        """Whether the text still has something for a property that may be left out."""
        if shape.get("type") in ("integer", "number"):
            return bool(self.numbers)
        return shape.get("type") == "string" and bool(self.quoted) and "enum" not in shape

    def _array(self, shape: Mapping[str, object], name: str) -> list[object]:
        items = shape.get("items", {})
        kind = self._resolved(items).get("type")
        least = shape.get("minItems")
        found = len(self.numbers) if kind in ("integer", "number") else len(self.quoted) if kind == "string" else 1
        return [self.value(items, name) for _ in range(max(found, least if isinstance(least, int) else 0))]

    def _number(self, shape: Mapping[str, object], *, whole: bool) -> int | float:
        number = float(self.numbers.pop(0)) if self.numbers else 1.0
        for bound, step, keep in (("minimum", 0, max), ("exclusiveMinimum", 1, max), ("maximum", 0, min)):
            limit = shape.get(bound)
            if isinstance(limit, int | float):
                number = keep(number, limit + step)
        return int(number) if whole or number.is_integer() else number

    def _text(self, shape: Mapping[str, object], name: str) -> str:
        plain = name.replace("_", " ").lower()
        text: str
        if self.quoted:
            text = self.quoted.pop(0)
        elif str(shape.get("format")) in _DATES:
            text = _DATES[str(shape["format"])]
        elif plain in self.facts:
            text = self.facts[plain]
        elif self.names:
            text = self.names.pop(0).strip()
        else:
            text = self.text.strip() or "demo"
        least = shape.get("minLength")
        return text + "." * (least - len(text)) if isinstance(least, int) else text
