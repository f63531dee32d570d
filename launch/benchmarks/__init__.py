"""The parts of launch/benchmark.py, each a function of `Setting` that returns rows of a table."""
