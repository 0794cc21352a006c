"""`python -m tsdb`: the command line."""

import sys

from tsdb_repl.main import main

if __name__ == "__main__":
    sys.exit(main())
