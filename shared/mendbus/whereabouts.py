"""Where `mendbus up` is found: what it and the command line agree on, for who starts it loads none of it."""

from typing import Final

STATE_FILE: Final = "up.json"
"""Below the data folder: where a running `mendbus up` says how it is reached."""
DASHBOARD_PORT: Final = 7701
"""Where the dashboard is, unless that is taken and no other port was asked for: then on any free one."""
