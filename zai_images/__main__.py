"""Run the command line: `python -m zai_images`."""

import sys

from zai_images.cli import main

if __name__ == "__main__":
    sys.exit(main())
