"""Old and new on one bus: what the contract's first revision wrote and knew."""
