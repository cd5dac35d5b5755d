"""Where the time goes: in a running service, and in one recovery."""
