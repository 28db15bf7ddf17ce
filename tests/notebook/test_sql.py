"""`%chatsql`, `%%chatsql` and `%chat search` in a real kernel: results, bound values, and all that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.notebook.kernels import chat_kernel, store_of
from tests.rigs.kernel import Kernel, Result
from tests.stores.making import count


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel whose store holds one session of two turns; nothing here may change it."""
    with chat_kernel(tmp_path_factory.mktemp("sql")) as running:
        running.run("%%chat eda\nMy name is Alice; plot a histogram.").expect_ok()
        running.run("%%chat eda\nWhat is my name?").expect_ok()
        yield running


def printed(kernel: Kernel, expression: str) -> str:
    return kernel.run(f"print({expression})").expect_ok().stdout.strip()


def refused(result: Result) -> str:
    """The one line that an error shows."""
    assert result.status == "error", result.text
    lines = result.traceback.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("BadInput: ")
    return lines[0]


def test_a_line_gives_a_dataframe(kernel: Kernel) -> None:
    value = (
        kernel.run("%chatsql SELECT role, count(*) AS n FROM messages GROUP BY role ORDER BY role").expect_ok().value
    )
    assert value is not None
    assert "<table" in value.data["text/html"]
    assert printed(kernel, "_.to_dict('list')") == "{'role': ['assistant', 'user'], 'n': [2, 2]}"


def test_a_cell_binds_its_result_to_a_name(kernel: Kernel) -> None:
    kernel.run("%%chatsql -o counted\nSELECT name,\n  message_count -- of the branch\nFROM sessions").expect_ok()
    assert printed(kernel, "counted.values.tolist()") == "[['eda', 4]]"


def test_values_are_bound_and_never_pasted(kernel: Kernel) -> None:
    kernel.run("evil = \"x' OR 1=1 --\"\nroles = {'user', 'tool'}\nimport pandas as pd").expect_ok()
    kernel.run("%%chatsql -o none\nSELECT * FROM messages WHERE content = {{ evil }}").expect_ok()
    assert printed(kernel, "len(none)") == "0"
    kernel.run("%%chatsql -o two\nSELECT * FROM messages WHERE role IN {{ roles }} -- {{ evil }}").expect_ok()
    assert printed(kernel, "len(two)") == "2"
    kernel.run(
        "%%chatsql -o some\nSELECT {{ pd.Series([1, 2]).max() }} AS a, {{ {'k': {1: 2}}['k'][1] }} AS b"
    ).expect_ok()
    assert printed(kernel, "some.values.tolist()") == "[[2, 2]]"


def test_a_value_in_quotes_or_a_name_that_is_missing_is_one_sentence(kernel: Kernel) -> None:
    kernel.run("answer = 42").expect_ok()
    said = refused(kernel.run("%chatsql SELECT '{{ answer }}' AS a"))
    assert "{{ answer }} stands in quotes" in said
    said = refused(kernel.run("%chatsql SELECT {{ answr }} AS a"))
    assert "Did you mean 'answer'" in said
    said = refused(kernel.run("%%chatsql -o 2x\nSELECT 1"))
    assert "'2x' is not a name" in said
    said = refused(kernel.run("%%chatsql --wrong x\nSELECT 1"))
    assert "no option '--wrong'" in said
    assert "There is no query" in refused(kernel.run("%chatsql"))


REFUSED = [
    "INSERT INTO sessions SELECT * FROM sessions",
    "UPDATE sessions SET name = 'x'",
    "DELETE FROM messages",
    "DROP TABLE messages",
    "CREATE TABLE t AS SELECT 1 AS a",
    "CREATE MACRO f() AS 1",
    "ALTER TABLE sessions ADD COLUMN x INT",
    "TRUNCATE messages",
    "SELECT 1; DELETE FROM messages",
    "SELECT 1; SELECT 2",
    "BEGIN; DELETE FROM messages; COMMIT",
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "COPY sessions FROM '{folder}/secret.csv'",
    "EXPORT DATABASE '{folder}/out'",
    "ATTACH '{folder}/other.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH chat",
    "USE memory",
    "INSTALL fts",
    "LOAD fts",
    "SET enable_external_access = true",
    "SET GLOBAL memory_limit = '1GB'",
    "RESET memory_limit",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "EXPLAIN ANALYZE DELETE FROM messages",
    "PREPARE p AS SELECT 1",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM '{folder}/secret.csv'",
    "FROM '{folder}/secret.csv'",
    "SELECT (SELECT content FROM read_text('{folder}/secret.csv')) AS a",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table(['sessions'])",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM lineage",
    "SELECT * FROM messages_base",
    "WITH lineage AS (SELECT 1) SELECT * FROM main.lineage",
    "WITH x AS (DELETE FROM messages RETURNING *) SELECT * FROM x",
    "SELECT * FROM my_frame",
    "SELECT * FROM 'https://example.org/x.parquet'",
]


@pytest.mark.parametrize("query", REFUSED)
def test_all_but_one_select_over_the_histories_is_refused_in_one_sentence(kernel: Kernel, query: str) -> None:
    folder = kernel.cwd
    (folder / "secret.csv").write_text("a,b\nTOP,SECRET\n")
    before = sorted(path.name for path in folder.iterdir())
    kernel.run("import pandas as pd\nmy_frame = pd.DataFrame({'a': [1]})").expect_ok()
    for cell in (f"%chatsql {query}", f"%%chatsql\n{query}"):
        result = kernel.run(cell.format(folder=folder))
        assert "SECRET" not in result.text
        refused(result)
    assert sorted(path.name for path in folder.iterdir()) == before
    with store_of(kernel) as store:
        assert [count(store, table) for table in ("sessions", "messages", "turns")] == [1, 4, 2]
    with duckdb.connect(str(folder / "chat.duckdb"), read_only=True) as connection:
        assert connection.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "query",
    [
        "FROM sessions SELECT name",
        "SELECT * FROM range(3)",
        "WITH asked AS (SELECT * FROM turns) SELECT count(*) AS n FROM asked",
        "SELECT model, sum(cost) OVER (ORDER BY started_at) AS spent FROM turns",
        "(SELECT 1 AS a) UNION ALL (SELECT 2)",
        "SELECT unnest(tags::VARCHAR[]) AS tag FROM sessions",
        "SELECT * FROM usage_daily ORDER BY day;",
    ],
)
def test_whatever_reads_the_histories_alone_runs(kernel: Kernel, query: str) -> None:
    kernel.run(f"%%chatsql\n{query}").expect_ok()


def test_search_shows_the_best_hits_of_every_session(kernel: Kernel) -> None:
    kernel.run("%chat search histogram -n 5").expect_ok()
    assert printed(kernel, "_[['session', 'role']].values.tolist()") == "[['eda', 'user']]"
    assert "«histogram»" in printed(kernel, "_.snippet[0]")
    kernel.run('%chat search "my name is"').expect_ok()
    assert "«My name is» Alice" in printed(kernel, "' | '.join(_.snippet)")
    assert "nothing to look for" in refused(kernel.run("%chat search ''"))


def test_search_and_sql_leave_the_kernels_session_alone(kernel: Kernel) -> None:
    kernel.run("%chat search alice").expect_ok()
    kernel.run("%chatsql SELECT 1 AS a").expect_ok()
    assert "session: eda (4 messages" in kernel.run("%chat").expect_ok().text


def test_a_store_that_is_not_there_yet_gives_an_empty_table(tmp_path: Path) -> None:
    with chat_kernel(tmp_path) as kernel:
        kernel.run("%%chatsql -o none\nSELECT name, created_at FROM sessions").expect_ok()
        assert printed(kernel, "none.shape, str(none.dtypes['created_at'])") == "(0, 2) datetime64[us, UTC]"
