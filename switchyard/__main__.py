"""`python -m switchyard`, the same as the console script."""

from switchyard.cli import main

main()
