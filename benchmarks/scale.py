"""The last 20 messages in stores of 10,000 to 1,000,000 messages, and of 10,000,000 with `--messages 10000000`."""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path

from benchmarks.parts.bulk import Made, make_duckdb, make_sqlite
from benchmarks.parts.places import folder
from benchmarks.parts.timing import Row, Side, alternate, show
from benchmarks.parts.work import WINDOW
from chatnb.records import Branch, Session
from chatnb.stores import sql
from chatnb.stores.opened import Opened
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store

__all__ = ["main"]

BASE = 100_000
"""The store that larger ones are held against."""

BAR = 2.0

MAKERS: Mapping[str, Callable[[Path, int], Made]] = {"duckdb": make_duckdb, "sqlite": make_sqlite}


def main(options: argparse.Namespace) -> None:
    """Make the stores and print the tables."""
    base = 2_000 if options.quick else BASE
    most = 10_000 if options.quick else options.messages
    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if base < size <= most or size == base]
    sizes = sorted({base, *sizes} | (set() if options.quick else {10_000}))
    rounds = 5 if options.quick else 60
    for kind in MAKERS:
        with nullcontext(Path(options.stores)) if options.stores else folder() as place:
            one_kind(kind, place, sizes, base, rounds)


def one_kind(kind: str, place: Path, sizes: Sequence[int], base: int, rounds: int) -> None:
    """Make one backend's stores, read them, and print how."""
    print(f"\nMaking {kind} stores …")
    made: dict[int, Made] = {}
    for size in sizes:
        began = time.perf_counter()
        made[size] = _made(place, kind, size)
        megabytes = _path(place, kind, size).stat().st_size / 1e6
        print(f"  {size:,} messages: {megabytes:,.0f} MB in {time.perf_counter() - began:.0f} s", flush=True)
    with ExitStack() as stack:
        stores = {size: stack.enter_context(open_store(_address(place, kind, size))) for size in sizes}
        rows: list[Row] = []
        for what, held in ((", held", True), (", opened for each read", False)) if kind == "duckdb" else (("", False),):
            with ExitStack() as holding:
                if held:
                    for store in stores.values():
                        holding.enter_context(store.hold())
                rows += reading(what, stores, made, base, rounds if held or kind != "duckdb" else rounds // 3)
        show(f"The last {WINDOW} messages on {kind}, beside the same at {base:,}", rows)
        for size, store in stores.items():
            print(rows_read(kind, store, size, made[size].active[-1]))
            print(rows_read(kind, store, size, made[size].resumed[-1]))


def _made(place: Path, kind: str, size: int) -> Made:
    """Make a store, unless it is there from an earlier run (`--stores`)."""
    path = _path(place, kind, size)
    told = path.with_suffix(f".{kind}.json")
    if not told.exists():
        for left in path.parent.glob(f"{path.name}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        told.write_text(json.dumps(asdict(MAKERS[kind](path, size))))
    return Made(**json.loads(told.read_text()))


def _path(place: Path, kind: str, size: int) -> Path:
    return place / f"{size}.{kind}"


def _address(place: Path, kind: str, size: int) -> str:
    return f"{kind}:///{_path(place, kind, size)}"


def _last(_: Session, branch: Branch) -> int:
    return max(branch.last_seq - WINDOW + 1, 1)


def window(store: Store, session: str) -> Opened:
    """What a turn reads of its session before it asks: everything, in one transaction."""
    opened = store.open_session(session, _last, user="bench", project="bench", cell=("bench.ipynb", "none"))
    assert len(opened.messages) == WINDOW
    return opened


def reading(what: str, stores: Mapping[int, Store], made: Mapping[int, Made], base: int, rounds: int) -> Iterator[Row]:
    """The window of sessions in use, of sessions taken up again, and of a session found by its name."""
    for which in ("in use", "taken up again", "by name"):
        sides: dict[str, Side] = {}
        for size, store in stores.items():
            ids = made[size].resumed if which == "taken up again" else made[size].active
            refs = [_name(store, ref) for ref in ids[-20:]] if which == "by name" else ids
            turns = itertools.cycle(refs)
            sides[str(size)] = Side(lambda store=store, turns=turns: window(store, next(turns)))  # type: ignore[misc]
        took = alternate(sides, rounds)
        for size in stores:
            if size != base:
                bar = BAR if size > base else None
                label = f"{size:,} messages, a session {which}{what}"
                yield Row(label, took[str(size)], f"at {base:,}", took[str(base)], bar=bar)


def _name(store: Store, session: str) -> str:
    return store.find_session(session, user="bench", project="bench").label


def rows_read(kind: str, store: Store, size: int, session: str) -> str:
    """What the reading of one window touches."""
    opened = window(store, session)
    branch = opened.branch
    params = (branch.id, max(branch.parent_seq + 1, branch.last_seq - WINDOW + 1), branch.last_seq)
    said = (
        f"{size:,} messages, a session of {branch.last_seq} in {'one branch' if not branch.parent_seq else 'several'}"
    )
    if kind == "sqlite":
        plan = store._backend.run(
            lambda tx: tx.rows(f"EXPLAIN QUERY PLAN {sql.MESSAGES_OF_SEGMENT}", params), write=False
        )
        return f"{said}: {plan[0][-1]}"
    plan = store._backend.run(
        lambda tx: tx.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.MESSAGES_OF_SEGMENT}", params), write=False
    )
    nodes = [node for node in _nodes(json.loads(str(plan[0][1]))) if node.get("total_row_groups_to_scan")]
    scanned = sum(int(node.get("row_groups_scanned", 0)) for node in nodes)
    total = sum(int(node["total_row_groups_to_scan"]) for node in nodes)
    return f"{said}: DuckDB reads in {scanned} of {total} row groups of messages for its newest segment"


def _nodes(tree: object) -> Iterator[dict[str, int]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    for child in tree if isinstance(tree, list) else ():
        yield from _nodes(child)
