"""Runs every benchmark, or those named on the command line."""

from __future__ import annotations

import argparse
import pkgutil
from importlib import import_module

import benchmarks


def main() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name[0] != "_")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Any of {', '.join(names)}; without one, all.")
    chosen = parser.parse_args().names or names
    for name in chosen:
        if name not in names:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(names)}")
        print(f"== {name} ==", flush=True)
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
