"""`python -m silverprint`."""

from silverprint.cli import main

main()
