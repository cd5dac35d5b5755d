"""Work on models that no running service does: training, measuring."""
