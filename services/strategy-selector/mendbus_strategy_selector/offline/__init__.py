"""Work on the models of strategy choice, away from any running service."""
