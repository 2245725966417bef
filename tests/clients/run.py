#!/usr/bin/env python3
"""Installs the clients and runs each against a running gateway; exits 1 when any fails.

    run.py --url http://127.0.0.1:8080/mcp --key KEY [NAME...]

The gateway must serve the conformance toolkit. With names, only these run. The key may come from
WAYBILL_TEST_KEY instead, and is handed on in it, not on a command line.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from checks import NODE, TOOLS

HERE = Path(__file__).resolve().parent
PYTHON = TOOLS / "venv" / "bin" / "python"
# One client, in seconds.
DEADLINE = 700
CLIENTS = {
    "conformance": "conformance.py",
    "python-mcp": "python_mcp.py",
    "python-fastmcp": "python_fastmcp.py",
    "typescript-sdk1": "typescript_sdk1.mjs",
    "typescript-sdk2": "typescript_sdk2.mjs",
    "inspector": "inspector.py",
    "mcp-remote": "mcp_remote.py",
}


def run(name: str, url: str, key: str) -> bool:
    script = CLIENTS[name]
    program = PYTHON if script.endswith(".py") else NODE
    start = time.monotonic()
    try:
        done = subprocess.run(
            (str(program), str(HERE / script), "--url", url),
            env={**os.environ, "WAYBILL_TEST_KEY": key},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE,
            check=False,
        )  # fmt: skip
        passed, output = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as late:
        passed, output = False, f"{late.stdout or ''}\ndid not end in {DEADLINE} s"
    print(f"{'ok  ' if passed else 'FAIL'} {name} ({time.monotonic() - start:.0f} s)", flush=True)
    if not passed:
        print(output, flush=True)
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", default=os.environ.get("WAYBILL_TEST_KEY"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CLIENTS)}")
    given = parser.parse_args()
    if not given.key or not set(given.names) <= set(CLIENTS):
        parser.error("a key is needed, and names that exist")
    subprocess.run((sys.executable, str(HERE / "install.py")), stdout=subprocess.DEVNULL, check=True)
    # Not `all(...)` over a generator: after a failure the others still run.
    results = [run(name, given.url, given.key) for name in given.names or CLIENTS]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
