"""Sessions and messages as HTML for the browser. Every tag is ours: what a user, a model or a tool wrote is text."""

from __future__ import annotations

import base64
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    BinaryContent,
    FilePart,
    FileUrl,
    ModelRequestPart,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    UserPromptPart,
)

from chatnb.formats.pydantic_ai import UnreadablePayloadWarning, from_record, part_text
from chatnb.notebook.closing import ago, money
from chatnb.records import Message, Session

__all__ = ["heading", "markdown", "message", "moment", "one_line", "resume_button", "row_text", "table"]

TEXT_SHOWN = 20_000
"""Characters of one text that are shown; the whole of it is stored."""

RESULT_SHOWN = 4_000
"""Characters of a tool's arguments or result that are shown."""

IMAGE_SHOWN = 3_000_000
"""Bytes of an image that is drawn; a larger one is named."""

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_LINK = re.compile(r"(?:https?://|mailto:)[^\s<>\"']+", re.IGNORECASE)
_LINK_ATTRIBUTES = 'target="_blank" rel="noopener noreferrer"'
# Characters that turn the reading direction around, so that a name can pass for another.
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])


class _Markdown(MarkdownIt):
    """CommonMark with tables, whose links go to the web or to a mailbox and nowhere else."""

    def validateLink(self, url: str) -> bool:
        """Whether a link's address may be one."""
        return _LINK.fullmatch(url) is not None


@cache
def _renderer(breaks: bool) -> MarkdownIt:
    renderer = _Markdown("commonmark", {"html": False, "breaks": breaks}).enable(["table", "strikethrough"])
    renderer.add_render_rule("link_open", _link_open)
    renderer.add_render_rule("image", _image)
    renderer.add_render_rule("fence", _fence)
    return renderer


def _link_open(_: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: EnvType) -> str:
    return f'<a href="{escape(str(tokens[at].attrs["href"]))}" {_LINK_ATTRIBUTES}>'


def _image(_: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: EnvType) -> str:
    """An image of elsewhere is a link: drawing it would tell its server who reads what."""
    return _link(str(tokens[at].attrs["src"]), tokens[at].content or "image")


def _fence(_: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: EnvType) -> str:
    return f"<pre><code>{escape(tokens[at].content)}</code></pre>\n"


def _link(url: str, text: str) -> str:
    if _LINK.fullmatch(url) is None:
        return escape(text)
    return f'<a href="{escape(url)}" {_LINK_ATTRIBUTES}>{escape(text)}</a>'


def markdown(text: str, *, breaks: bool = False) -> str:
    """Markdown as HTML that holds no HTML of its writer.

    Parameters
    ----------
    text
        The Markdown.
    breaks
        A single end of line ends the line, as people mean it who write prompts.

    >>> print(markdown("**hi** <img src=x onerror=alert(1)> [a](javascript:alert(1))"))
    <p><strong>hi</strong> &lt;img src=x onerror=alert(1)&gt; [a](javascript:alert(1))</p>
    """
    return str(_renderer(breaks).render(_cut(text, TEXT_SHOWN))).strip()


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}\n\n… {len(text) - most:,} more characters are stored"


def one_line(text: str, most: int = 200) -> str:
    """A text on one line, without the characters that turn the reading direction around."""
    line = " ".join(text[: 4 * most].translate(_TURNING).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def moment(at: datetime | None) -> str:
    """A time to the minute, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


# -- one message -----------------------------------------------------------------------------------------------------


def message(record: Message, files: Mapping[str, bytes]) -> str:
    """One message with its role, tokens and cost; tool calls and thinking are folded away.

    Parameters
    ----------
    record
        The message.
    files
        The content of the files that it names, by SHA-256.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UnreadablePayloadWarning)
        parts: Sequence[ModelRequestPart | ModelResponsePart] = from_record(record, files).parts
    blocks = [_part(part, record) for part in parts]
    if warned:
        blocks.append("<p><em>The payload can no longer be read; this is its text.</em></p>")
    body = "\n".join(block for block in blocks if block) or "<p><em>(empty)</em></p>"
    facts = f'<span title="Times are UTC">{escape(_facts(record))}</span>'
    return (
        f'<div class="chatnb-message chatnb-{record.role}"><div class="chatnb-head"><b>{record.role}</b>{facts}</div>'
        f'<div class="chatnb-body jp-RenderedHTMLCommon">{body}</div></div>'
    )


def _facts(record: Message) -> str:
    pieces = [f"#{record.seq}", moment(record.created_at).removesuffix(" UTC")]
    if record.role == "assistant":
        pieces.append(one_line(record.model or "", 60))
        if record.input_tokens is not None or record.output_tokens is not None:
            pieces.append(f"{record.input_tokens or 0:,} in + {record.output_tokens or 0:,} out")
            pieces.append(money(record.cost))
    return " · ".join(piece for piece in pieces if piece)


def _part(part: ModelRequestPart | ModelResponsePart, record: Message) -> str:
    if isinstance(part, TextPart):
        return markdown(part.content)
    if isinstance(part, UserPromptPart):
        return "\n".join(_prompt(part))
    if isinstance(part, ThinkingPart):
        return _folded("thinking", markdown(part.content)) if part.content else ""
    if isinstance(part, SystemPromptPart):
        return _folded("system prompt", markdown(part.content, breaks=True))
    if isinstance(part, BaseToolCallPart):
        return _folded(f"<code>{escape(_call(part))}</code>", _code(_arguments(part)))
    if isinstance(part, BaseToolReturnPart):
        drawn = "".join(_file(file) for file in part.files)
        return _folded(f"result of <code>{escape(one_line(part.tool_name, 80))}</code>", _code(part_text(part))) + drawn
    if isinstance(part, FilePart):
        return _file(part.content)
    text = part_text(part)
    return _folded(escape(part.part_kind.replace("-", " ")), _code(text)) if text else ""


def _prompt(part: UserPromptPart) -> Iterable[str]:
    for item in [part.content] if isinstance(part.content, str) else part.content:
        if isinstance(item, str):
            yield markdown(item, breaks=True)
        elif isinstance(item, BinaryContent | FileUrl):
            yield _file(item)
        else:
            yield markdown(part_text(UserPromptPart([item])), breaks=True)


def _file(content: object) -> str:
    """A stored image is drawn, and anything else is named; what lies elsewhere is a link."""
    if isinstance(content, FileUrl):
        return f"<p>{_link(content.url, one_line(content.url))}</p>"
    if not isinstance(content, BinaryContent):
        return f"<p><em>{escape(one_line(repr(content)))}</em></p>"
    size = len(content.data)
    named = escape(one_line(f"{content.media_type}, {size:,} bytes"))
    if content.media_type in _IMAGES and size <= IMAGE_SHOWN:
        data = base64.b64encode(content.data).decode()
        return f'<p><img alt="{named}" src="data:{content.media_type};base64,{data}"></p>'
    return f"<p><em>[{named}]</em></p>"


def _arguments(part: BaseToolCallPart) -> str:
    try:
        return json.dumps(json.loads(part.args_as_json_str()), ensure_ascii=False, indent=1)
    except ValueError:  # a model may have written arguments that are no JSON
        return part.args_as_json_str()


def _call(part: BaseToolCallPart) -> str:
    arguments = one_line(part.args_as_json_str(), 80)
    return f"{one_line(part.tool_name, 80)}({'' if arguments == '{}' else arguments})"


def _code(text: str) -> str:
    return f"<pre><code>{escape(_cut(text, RESULT_SHOWN))}</code></pre>"


def _folded(summary: str, body: str) -> str:
    """`summary` and `body` are HTML of ours."""
    return f"<details><summary>{summary}</summary>{body}</details>"


# -- sessions --------------------------------------------------------------------------------------------------------


def row_text(session: Session, question: str, *, owner: bool) -> str:
    """A session in three lines of plain text: its name, its first question, its facts; without a name, its id below."""
    used = session.last_message_at or session.created_at
    facts = [
        "deleted" if not session.is_active else "",
        one_line(session.user_id, 40) if owner else "",
        f"{session.message_count:,} message{'' if session.message_count == 1 else 's'}",
        one_line(session.model or "", 40),
        ago(used),
        *(f"#{one_line(tag, 40)}" for tag in session.tags),
    ]
    asked = one_line(question, 160)
    titles = (one_line(session.name, 120), asked or "–") if session.name else (asked or "–", one_line(session.id, 80))
    return "\n".join([*titles, " · ".join(fact for fact in facts if fact)])


def heading(session: Session, facts: Sequence[str]) -> str:
    """What is known of the session that is read."""
    deleted = ' <span class="chatnb-badge">deleted</span>' if not session.is_active else ""
    tags = "".join(f'<span class="chatnb-tag">{escape(one_line(tag, 80))}</span>' for tag in session.tags)
    return (
        f'<div class="chatnb-title">{escape(one_line(session.label))}{deleted}</div>'
        f'<div class="chatnb-facts">{escape(" · ".join(facts))}</div>'
        f'<div class="chatnb-tags">{tags}</div>'
    )


def resume_button(cell: str) -> str:
    """A button that puts `cell` into a new cell below.

    A widget's callback cannot fill a cell: `set_next_input` travels in the reply to an execution. JupyterLab's and
    Notebook's command linker (jupyterlab.readthedocs.io, "Commands") can; elsewhere the text beside it is copied.
    """
    commands = ["notebook:insert-cell-below", "notebook:replace-selection", "notebook:enter-edit-mode"]
    arguments = json.dumps({"commands": commands, "args": {"text": f"{cell}\n"}})
    return (
        '<button type="button" class="chatnb-resume" title="Go on with this session in a new cell below" '
        f'data-commandlinker-command="apputils:run-all-enabled" data-commandlinker-args="{escape(arguments)}">'
        f"Resume</button> <code>{escape(cell)}</code>"
    )


def table(sessions: Sequence[Session], questions: Mapping[str, str], total: int) -> tuple[str, str]:
    """The sessions as text and as an HTML table, for where there are no widgets."""
    names = ("session", "messages", "model", "last used", "first question")
    rows = [
        (
            one_line(session.label, 40),
            f"{session.message_count:,}",
            one_line(session.model or "", 30),
            moment(session.last_message_at or session.created_at),
            one_line(questions.get(session.id, ""), 60),
        )
        for session in sessions
    ]
    note = f"{len(rows)} of {total:,} sessions; the browser itself needs ipywidgets and a running kernel."
    widths = [max(len(row[place]) for row in [names, *rows]) for place in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [names, *rows]]
    text = "\n".join([*(line.rstrip() for line in lines), note])
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return text, f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{escape(note)}</p>"
