"""One page of everything that was measured: `python -m tests.report`.

It measures nothing itself. It reads what the others wrote into `results/`, the newest of each:

- `bench-*.json`: the newest run of each of its rows that has five repetitions or more;
- `fault-lab-*.json`: the newest run of all faults under the default policy;
- `soak-*.json`: the newest run of 30 minutes or more;
- `junit*.xml`: what `pytest --junitxml` wrote; `coverage.json`: what `coverage json` wrote;
- `scale-*.json`: what `python -m tests.lab.scale` wrote;
- `figures-*.json` and `chaos-*.json`: figures of anything else by their key in `tests/report/rows.py`, as
  `{"conditions": {"date": ..., "command": ..., "cores": ..., "machine": ...}, "figures": {KEY: NUMBER, ...}}`; a figure
  may also be `{"value": NUMBER, "interval": [LOW, HIGH]}`.

What is in none of them is not measured, and the page says so.
"""
