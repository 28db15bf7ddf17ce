"""What chatnb costs, measured beside what it stands on. `python -m benchmarks [NAME]…` runs all of them or those named.

A benchmark is a module here with a `main()` that measures and prints; README and notes quote what it prints.
"""
