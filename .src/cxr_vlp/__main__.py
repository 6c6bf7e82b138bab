"""`python -m cxr_vlp` is the command `cxr-vlp`."""

import sys

from cxr_vlp.cli import main

if __name__ == "__main__":
    sys.exit(main())
