"""What the client scripts share: their two arguments, and a check that says what went wrong."""

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent.parent / ".tools" / "clients"
NODE = TOOLS / "node"

# A slow call in these scripts, in seconds: longer than the gateway waits before it answers a client
# that speaks tasks, shorter than it waits for one that does not.
SLOW = 2


def arguments(description: str) -> argparse.Namespace:
    """`--url` of the MCP endpoint and `--key`, which may come from WAYBILL_TEST_KEY instead."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--url", required=True, help="http://127.0.0.1:PORT/mcp")
    parser.add_argument("--key", default=os.environ.get("WAYBILL_TEST_KEY"), help="an API key")
    parsed = parser.parse_args()
    if not parsed.key:
        parser.error("--key or WAYBILL_TEST_KEY is needed")
    return parsed


class Failed(Exception):
    """A check that did not hold."""


def check(condition: object, message: str) -> None:
    if not condition:
        raise Failed(message)


def equal(have: object, want: object, what: str) -> None:
    check(have == want, f"{what}: have {have!r}, want {want!r}")


def run(main: Coroutine) -> None:
    """Runs a script to its end: `ok`, or the failed check's message and exit code 1."""
    try:
        asyncio.run(main)
    except BaseException as error:
        # Clients hold task groups, which wrap what goes wrong inside.
        cause = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        if not isinstance(cause, Failed):
            raise
        sys.exit(f"failed: {cause}")
    print("ok")
