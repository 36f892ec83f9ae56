"""The head of an answer goes out with what follows it, and is never kept."""

import asyncio

from graticule.api.joined_writes import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Transport:
    def __init__(self):
        self.sent = []
        self.closed = False

    def write(self, data):
        self.sent.append(data)

    def writelines(self, pieces):
        self.sent.append(b"".join(pieces))

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def get_extra_info(self, name):
        return f"extra {name}"


def sent(act):
    async def main():
        transport = Transport()
        await act(JoinedWrites(transport), transport)
        return transport.sent

    return asyncio.run(main())


def test_a_head_and_a_body_are_one_write():
    async def act(joined, _transport):
        joined.write(HEAD)
        joined.write(b"body")
        joined.write(memoryview(b"more"))
        await asyncio.sleep(0)

    assert sent(act) == [HEAD + b"body", b"more"]


def test_a_head_without_a_body_goes_when_the_loop_comes_round():
    async def act(joined, transport):
        joined.write(HEAD)
        assert transport.sent == []
        await asyncio.sleep(0)
        assert transport.sent == [HEAD]
        joined.write(b"body")

    assert sent(act) == [HEAD, b"body"]


def test_closing_sends_the_head_first():
    async def act(joined, transport):
        joined.write(HEAD)
        joined.close()
        assert transport.closed
        await asyncio.sleep(0)

    assert sent(act) == [HEAD]


def test_nothing_is_written_to_a_connection_that_is_closed():
    async def act(joined, transport):
        joined.write(HEAD)
        transport.closed = True
        await asyncio.sleep(0)

    assert sent(act) == []


def test_everything_else_is_the_transports():
    async def act(joined, _transport):
        assert joined.get_extra_info("peername") == "extra peername"
        assert not joined.is_closing()

    sent(act)
