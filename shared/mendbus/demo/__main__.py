"""`python -m mendbus.demo [--json] [--secure]`."""

import sys

from mendbus.demo import main

if __name__ == "__main__":
    sys.exit(main(as_json="--json" in sys.argv[1:], secure="--secure" in sys.argv[1:]))
