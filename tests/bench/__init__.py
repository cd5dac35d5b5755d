"""The bench: the figures that are promised, measured beside a floor of bare nats-py in the same run.

`python -m tests.bench` prints the table, writes `results/bench-<date>.json`, and ends with status 1 when a must is
missed. With `--validate` one promise is judged, and what falls short by no more than the machine's noise is let pass.
"""
