"""What the benchmarks share: the clock, the places, the data, and the other sides."""
