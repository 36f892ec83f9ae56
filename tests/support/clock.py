"""A clock that stands still until it is moved."""


class Clock:
    """Call it for the time in epoch milliseconds."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, *, ms: int = 0, s: int = 0) -> None:
        self.now_ms += ms + 1000 * s
