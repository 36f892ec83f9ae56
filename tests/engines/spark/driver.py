"""Runs in an environment of Spark's own: takes orders for a session, answers in JSON.

Every line of the input is an order: `{"sql": …}` or `{"python": …}`, the latter setting `result`.
Every answer is one line, `{"ok": …}` or `{"error": …}`.  The first order is the text that makes the
session.  It imports nothing of the project, which is not installed there.
"""

import datetime as dt
import decimal
import json
import os
import sys
import traceback
from typing import Any

from pyspark.sql import SparkSession

TOLD_CHARACTERS_MAX = 1000
"""Of an error; the log has the rest."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the session prints goes to the log
    names: dict[str, Any] = {"SparkSession": SparkSession}
    for line in sys.stdin:
        try:
            answer = {"ok": _follow(json.loads(line), names)}
        except Exception as error:  # noqa: BLE001 - an order that fails does not end the session
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:TOLD_CHARACTERS_MAX]}
        answers.write(json.dumps(answer) + "\n")


def _follow(order: dict[str, str], names: dict[str, Any]) -> Any:
    if "sql" in order:
        rows = SparkSession.active().sql(order["sql"]).collect()
        return [[_plain(value) for value in row] for row in rows]
    names["result"] = None
    exec(compile(order["python"], "<order>", "exec"), names)
    return _plain(names["result"])


def _plain(value: Any) -> Any:
    """The value in JSON's words; bytes in hexadecimal digits, a row as its columns by name."""
    if hasattr(value, "asDict"):
        value = value.asDict()
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, dt.date | decimal.Decimal):
        return str(value)
    return value


main()
