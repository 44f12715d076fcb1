"""`python -m gpugrad`: the same as the command `gpugrad`."""

import sys

from gpugrad.cli import main

sys.exit(main())
