"""`python -m graticule` is the command line."""

from graticule.cli.main import main

main()
