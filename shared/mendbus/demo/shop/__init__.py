"""A small shop: the project that the demo copies to a temporary folder, builds, reloads and breaks."""
