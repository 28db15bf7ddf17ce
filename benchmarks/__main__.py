"""Runs every benchmark, or those named on the command line."""

from __future__ import annotations

import argparse
import pkgutil
import time
from importlib import import_module

import benchmarks
from benchmarks.parts.timing import machine


def main() -> None:
    """Run what the command line names."""
    names = sorted(
        one.name for one in pkgutil.iter_modules(benchmarks.__path__) if not one.ispkg and one.name[0] != "_"
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Any of {', '.join(names)}; without one, all.")
    parser.add_argument("--quick", action="store_true", help="A few rounds on small stores, to see that they run.")
    parser.add_argument("--messages", type=int, default=1_000_000, metavar="N", help="How large scale's stores grow.")
    parser.add_argument("--turns", type=int, metavar="N", help="Turns of growth's files, and of durability's writers.")
    parser.add_argument("--stores", metavar="FOLDER", help="Keeps scale's stores there, for the next run.")
    options = parser.parse_args()
    for name in options.names:
        if name not in names:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(names)}")
    print(machine())
    for name in options.names or names:
        print(f"\n# {name}", flush=True)
        began = time.perf_counter()
        import_module(f"benchmarks.{name}").main(options)
        print(f"\n{name} took {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
