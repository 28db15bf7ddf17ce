"""The tables of a store: every column with its type and meaning, the views, and the named steps that make them.

The public part is a contract: any client of the database may read it. Column types are neutral words here; each
backend says what they are called in its dialect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BRANCHES",
    "CONVERSATIONS",
    "FILES",
    "HISTORY_COLUMNS",
    "IN_FLIGHT",
    "LINEAGE",
    "MAJOR",
    "MESSAGES",
    "MINOR",
    "PUBLIC_TABLES",
    "SESSIONS",
    "STEPS",
    "TABLES",
    "TOOL_CALLS",
    "TURNS",
    "VIEWS",
    "Column",
    "Step",
    "Table",
    "View",
]

Type = Literal["text", "bigint", "double", "boolean", "timestamp", "json", "tags", "blob", "date"]

MAJOR = 1
"""Another major version is refused: its tables mean something else."""

MINOR = 1
"""Steps of another minor version only add, so an older chatnb goes on working."""


@dataclass(frozen=True)
class Column:
    """One column: its name, its neutral type, and what it says."""

    name: str
    type: Type
    says: str


@dataclass(frozen=True)
class Table:
    """One table. `key` names a row; `order` is how rows lie on disk, so that one history's rows lie together.

    `changes` says whether rows are ever updated after they were added.
    """

    name: str
    says: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    changes: bool = False
    public: bool = True
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class View:
    """One public view: its name, its columns and the SELECT that makes it.

    `{day}` in it is the backend's expression for the UTC day of `turns.started_at`.
    """

    name: str
    says: str
    columns: tuple[Column, ...]
    select: str


@dataclass(frozen=True)
class Step:
    """One migration. Steps run once, in order, each in its own transaction; `name` is what the store remembers."""

    name: str
    tables: tuple[Table, ...] = ()
    views: tuple[View, ...] = ()


def _columns(text: str) -> tuple[Column, ...]:
    """Columns from lines of `name type what it says`."""
    lines = (line.split(None, 2) for line in text.strip().splitlines())
    return tuple(Column(name, kind, says) for name, kind, says in lines)  # type: ignore[arg-type]  # checked by a test


SESSIONS = Table(
    "sessions",
    "One conversation and its settings. (user_id, collection, id) names it.",
    _columns("""
id text the session's id: chatnb's own (UUIDv7, so ids sort by time) or the one its caller brought
user_id text whose session it is
project text the folder it belongs to; '' outside a notebook
collection text '' or the table name that a LangChain history was given
name text what people call it; the most recently used active session of a name is meant by it
model text the model its turns use unless a turn says otherwise
agent text the name of the notebook's agent that its turns used
system_prompt text the system prompt that every turn sends first
max_history_messages bigint the newest user and assistant texts that a turn sends at most; null means no such limit
max_history_tokens bigint the tokens of history that a turn sends at most; null means the default
branch_id text its current branch
forked_from text the id of the session it was forked from
metadata json whatever its caller attached
tags tags its tags, a JSON list of texts
is_active boolean false once it was deleted softly; such a session can be restored
revision bigint goes up by one with every change
message_count bigint how many messages its current history holds
created_at timestamp when it was made
updated_at timestamp when it last changed in any way
last_message_at timestamp when its newest message was stored
expires_at timestamp when it may be removed; null means never
"""),
    key=("user_id", "collection", "id"),
    changes=True,
    indexes=(("user_id", "collection", "id"), ("user_id", "name"), ("last_message_at",)),
)

BRANCHES = Table(
    "branches",
    "A run of messages that goes on from a place in another branch. Nothing is copied.",
    _columns("""
id text the branch's id
session_id text its session
user_id text its session's user
collection text its session's collection
parent_branch_id text the branch that owns the message it goes on from; null at the start of a history
parent_seq bigint the seq of that message; its own messages start at parent_seq + 1
kind text start, fork (another session), edit (a turn was taken back or asked anew) or resume (after a pause)
last_seq bigint the seq of its newest message
turn_count bigint how many turns its whole history holds
window_seq bigint where the window of its newest turn began
created_at timestamp when it was made
"""),
    key=("id",),
    changes=True,
    indexes=(("id",), ("user_id", "collection", "session_id"), ("parent_branch_id",)),
)

MESSAGES = Table(
    "messages",
    "One row is one PydanticAI ModelMessage. Rows are added, never rewritten.",
    _columns("""
id text the message's id
session_id text its session
branch_id text its branch
seq bigint its place in the whole history, from 1, without gaps
turn_id text the turn it belongs to
position bigint its place in the turn, from 0
role text user if it holds a user's prompt, else tool, else system, or assistant
content text the readable text
payload text the whole message as JSON, as PydanticAI writes it; binary parts stand as hashes (see files)
format text how payload was written, and which version of that writing
origin text where it comes from: pydantic-ai, langchain, openai, dict, chatgpt, claude, llm or notebook
metadata json what its origin has beyond the payload
model text the model that answered, as its provider reports it
provider text the provider that answered
input_tokens bigint tokens of the whole request that this answers, as the provider counted them
output_tokens bigint tokens of this answer, as the provider counted them
cost double what this answer cost, in USD; null when the price is unknown
created_at timestamp when it was made
"""),
    key=("id",),
    indexes=(("branch_id", "seq"), ("turn_id",)),
)

TURNS = Table(
    "turns",
    "One request to an agent and what came of it.",
    _columns("""
id text the turn's id
session_id text its session
branch_id text the branch its messages are on
user_id text who asked
collection text its session's collection
status text running, waiting (the caller must answer tool calls), ok, interrupted or error
prompt text what was asked
answer text the answer's text
output json the object that was asked for; null when the answer is text
agent text the notebook's agent that answered
model text the model that was asked, as it was named
provider text the provider that answered
options json the options the turn was asked with
requests bigint requests to the model
tool_calls bigint tools that were called
input_tokens bigint tokens sent, over all requests
output_tokens bigint tokens received, over all requests
cache_read_tokens bigint tokens of input that the provider had cached
cache_write_tokens bigint tokens of input that the provider put into its cache
cost double what the turn cost; null when the price is unknown
currency text the cost's currency
sent_messages bigint messages of history that were sent
sent_tokens bigint tokens of history that were sent
started_at timestamp when it was asked
first_token_ms double milliseconds until the first piece of the answer
duration_ms double milliseconds until the end
error text what went wrong, in one sentence
notebook text the notebook's path
cell_id text the cell's id
cell_source text the cell's text
execution_count bigint the cell's number, In [n]
host text the machine and process that asked
metadata json whatever its caller attached
"""),
    key=("id",),
    changes=True,
    indexes=(("id",), ("session_id",), ("started_at",)),
)

TOOL_CALLS = Table(
    "tool_calls",
    "One call of a tool in a turn.",
    _columns("""
turn_id text the turn
call_id text the call's id in the payloads
tool text the tool's name
arguments json what it was called with
result text what it gave back
error text what it failed with
started_at timestamp when it was called
duration_ms double milliseconds it took
"""),
    key=("turn_id", "call_id"),
    indexes=(("turn_id",),),
)

FILES = Table(
    "files",
    "Binary parts of messages, stored once per content.",
    _columns("""
sha256 text the content's SHA-256, lower-case hexadecimal
media_type text its media type
size bigint its length in bytes
data blob the content
"""),
    key=("sha256",),
    indexes=(("sha256",),),
)

LINEAGE = Table(
    "lineage",
    "The segments of each session's current history: which branch holds which run of seq. Private.",
    _columns("""
session_id text the session
user_id text its user
collection text its collection
branch_id text the branch that holds the segment
first_seq bigint the segment's first seq
upto_seq bigint the segment's last seq; null for the current branch, which goes on
"""),
    key=("user_id", "collection", "session_id", "branch_id"),
    changes=True,
    public=False,
    indexes=(("user_id", "collection", "session_id"),),
)

IN_FLIGHT = Table(
    "in_flight",
    "Records of turns that have not ended, on databases where other processes can see rows at once. Private.",
    _columns("""
turn_id text the turn
position bigint 0 for the turn's opening, then one a record
record text the record, as the journal writes it
owner text the host and process that asked
written_at timestamp when the record was written
"""),
    key=("turn_id", "position"),
    public=False,
    indexes=(("turn_id", "position"),),
)

CONVERSATIONS = Table(
    "conversations",
    "What PydanticAI's ConversationStore keeps of a session beyond its messages. Private.",
    _columns("""
session_id text the session, which is the conversation
user_id text its user
collection text its collection
born_at timestamp the session's created_at; a row of an earlier session of this id has another, and means nothing
revision text the token that changes with every save
head_id text the newest message of the history as it was saved
branches json the last messages of the histories that it left, oldest first, a JSON list of ids
hidden json branches that belong to none of these, as [branch_id, last_seq] each
usage json what all its runs used, as PydanticAI writes a RunUsage
deferred json the tool calls that it waits on, as PydanticAI writes DeferredToolRequests; null when there are none
scope text whose or where the application says it is
forked_from text the conversation it was forked from
forked_at text the last message that it shares with that one
session_revision bigint the session's revision after the save; any other means that another interface changed it since
written_at timestamp when the row was written
updated_at timestamp when the conversation was saved, as its writer says
format_version bigint PydanticAI's version of what it keeps
"""),
    key=("user_id", "collection", "session_id"),
    changes=True,
    public=False,
    indexes=(("user_id", "collection", "session_id"), ("user_id", "collection", "scope")),
)

HISTORY_COLUMNS = (Column("session_name", "text", "the session's name"), *MESSAGES.columns)

_HISTORY = View(
    "history",
    "Every session's current history in order: messages of its current branch and of the branches it goes on from.",
    HISTORY_COLUMNS,
    "SELECT sessions.name AS session_name, messages.id, sessions.id AS session_id, "
    + ", ".join(f"messages.{name}" for name in MESSAGES.names if name not in ("id", "session_id"))
    + """
FROM sessions
JOIN lineage ON lineage.user_id = sessions.user_id
 AND lineage.collection = sessions.collection AND lineage.session_id = sessions.id
JOIN messages ON messages.branch_id = lineage.branch_id
 AND messages.seq >= lineage.first_seq AND (lineage.upto_seq IS NULL OR messages.seq <= lineage.upto_seq)
WHERE sessions.is_active""",
)

_USAGE_DAILY = View(
    "usage_daily",
    "What was used each day (UTC), by user, project and model.",
    _columns("""
day date the day
user_id text the user
project text the project
model text the model that was asked
turns bigint how many turns
input_tokens bigint tokens sent
output_tokens bigint tokens received
cost double what they cost; turns of unknown price count as 0 here
"""),
    """SELECT {day} AS day, turns.user_id, sessions.project, turns.model,
 count(*) AS turns, CAST(sum(turns.input_tokens) AS BIGINT) AS input_tokens,
 CAST(sum(turns.output_tokens) AS BIGINT) AS output_tokens,
 sum(coalesce(turns.cost, 0.0)) AS cost
FROM turns
LEFT JOIN sessions ON sessions.user_id = turns.user_id
 AND sessions.collection = turns.collection AND sessions.id = turns.session_id
GROUP BY {day}, turns.user_id, sessions.project, turns.model""",
)

_FIRST = (SESSIONS, BRANCHES, MESSAGES, TURNS, TOOL_CALLS, FILES, LINEAGE, IN_FLIGHT)
TABLES = (*_FIRST, CONVERSATIONS)
PUBLIC_TABLES = tuple(table for table in TABLES if table.public)
VIEWS = (_HISTORY, _USAGE_DAILY)

STEPS = (
    Step("1.0 first tables", _FIRST, VIEWS),
    Step("1.1 conversations of PydanticAI", (CONVERSATIONS,)),
)
