"""The benchmarks, each beside a floor: what the same work costs with no Python in it."""
