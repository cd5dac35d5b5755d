"""Deterministic simulation: the services and several agents in one process, under simulated time and a seeded schedule
of faults. `python -m tests.simulation --seeds N`.
"""
