"""A NATS cluster under fire: what it is hit with is drawn from a seed, what must hold is read from the journal."""
