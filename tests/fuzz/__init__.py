"""Fuzzing at length: `make fuzz`."""
