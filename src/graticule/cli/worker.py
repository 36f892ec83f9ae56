"""`graticule worker`: a process that only runs jobs, beside servers on the same database."""

import signal
import threading

import typer


def worker() -> None:
    """Run jobs (scans, syncs, indexes) and read queues of events, as the server is set up to.

    Ends on SIGTERM once what runs has come to its next checkpoint; another worker goes on there.
    """
    # Not at the top: the other commands should not wait for the whole server to load.
    from graticule import logs  # noqa: PLC0415
    from graticule.cli.environment import load_settings  # noqa: PLC0415
    from graticule.wiring import open_services  # noqa: PLC0415

    settings = load_settings()
    logs.configure(log_format=settings.log_format, level=settings.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    services = open_services(settings)
    try:
        services.job_worker.start(alone=True)
        services.courier.start()
        services.event_polling.start()
        typer.echo("Running jobs. Stop with Ctrl-C.", err=True)
        stopping.wait()
    finally:
        services.close()
