"""What chatnb costs, measured beside what it stands on and beside its peers, in one run.

`python -m benchmarks [NAME]…` runs all of them or those named. A benchmark is a module here with a `main(options)` that
measures and prints; `parts` is what they share. README and notes quote what they print.
"""
