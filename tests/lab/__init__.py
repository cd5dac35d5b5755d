"""The fault lab: six reference agents at real work, real faults, users who notice, and what each strategy is worth."""
