"""``python -m passerby`` is the command line."""

import sys

from passerby.cli import main

sys.exit(main())
