"""`python -m otelauto`."""

from __future__ import annotations

import sys

from otelauto.cli import main

if __name__ == "__main__":
    sys.exit(main())
