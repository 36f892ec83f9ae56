"""A small application under a supervisor, run as a program of its own.

`supervised.py WORKERS [broken]` prints its port; `supervised.py --channel N` is one of its workers.
Every answer is the worker's process id, under `/slow` only once the file named in the query exists.
"""

import asyncio
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs

from graticule.server import server_config
from graticule.workers.server import HandedServer
from graticule.workers.supervisor import Supervisor


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/slow":
        [begun], [ends] = parse_qs(scope["query_string"].decode()).values()
        await asyncio.to_thread(wait_for, begun=Path(begun), ends=Path(ends))
    content = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def wait_for(*, begun: Path, ends: Path) -> None:
    begun.touch()
    while not ends.exists():
        time.sleep(0.01)


def main() -> int:
    if "--channel" in sys.argv:
        if "broken" in sys.argv:
            return 7
        channel = socket.socket(fileno=int(sys.argv[-1]))
        HandedServer(server_config(app, host="127.0.0.1", port=0), channel).run()
        return 0
    supervisor = Supervisor("127.0.0.1", 0, workers=int(sys.argv[1]))
    print(supervisor.port, flush=True)
    return supervisor.run([sys.executable, __file__, *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
