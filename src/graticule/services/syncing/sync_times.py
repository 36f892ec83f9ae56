"""When a schedule is due: every so many minutes, or as a cron expression says, in UTC."""

from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

from graticule.domain.errors import InvalidRequest

CRON_CHARACTERS_MAX: Final = 128
_CRON_FIELDS: Final = 5
_MINUTE_MS: Final = 60_000


def next_run_ms(*, interval_minutes: int | None, cron: str | None, now_ms: int) -> int | None:
    """The first time after now; None for what has neither.

    Raises:
        InvalidRequest: it has both, or the expression cannot be read or never comes true.
    """
    if cron is None:
        return None if interval_minutes is None else now_ms + interval_minutes * _MINUTE_MS
    if interval_minutes is not None:
        raise InvalidRequest("give either `interval_minutes` or `cron`, not both")
    if len(cron.split()) != _CRON_FIELDS or len(cron) > CRON_CHARACTERS_MAX:
        raise InvalidRequest(
            f"`cron` `{cron[:CRON_CHARACTERS_MAX]}` must have five fields (minute, hour, day, "
            "month, weekday), as `0 3 * * 1-5` for three o'clock UTC from Monday to Friday"
        )
    try:
        at = next(CronSim(cron, datetime.fromtimestamp(now_ms / 1000, UTC)))
    except CronSimError as error:
        raise InvalidRequest(f"`cron` `{cron}` cannot be read: {error}") from error
    except StopIteration:
        raise InvalidRequest(f"`cron` `{cron}` never comes true") from None
    return int(at.timestamp() * 1000)
