"""`graticule` on another HTTP implementation: `python -m benchmarks.http_stack h11 serve …`.

Only for comparison: the server itself has one, chosen in `graticule.server`.
"""

import sys

from graticule import server

_own_config = server.server_config


def main() -> None:
    name = sys.argv.pop(1)

    def config(*args, **options):
        made = _own_config(*args, **options)
        made.http = name  # read when the server starts
        return made

    server.server_config = config

    from graticule.cli.main import main as run  # noqa: PLC0415 - after the change above

    run()


if __name__ == "__main__":
    main()
