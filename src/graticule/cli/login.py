"""`graticule whoami`: as whom the command line acts."""

from graticule.cli.connection import connect
from graticule.cli.output import Output, print_one


def whoami(output: Output = None) -> None:
    """Show who the current credential belongs to, and what it may do."""
    with connect() as api:
        print_one(api.get("/me"), output)
