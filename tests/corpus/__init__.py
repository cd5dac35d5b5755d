"""Error texts to train on: harvested from software that was made to fail, and written for what is not installed."""
