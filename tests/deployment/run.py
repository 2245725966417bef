"""Deploys infra/template.yaml to the emulator's CloudFormation and drives what it made.

With --bin FOLDER: the services' binaries, as cargo builds them. Says what was found; fails otherwise.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import alarms
import stack
from stack import Account

PATIENCE_S = 90
# What the deployed stack has otherwise than `waybill infra apply` makes it, and why.
KNOWN = {
    # The emulator's CloudFormation drops these. A test of the template itself looks for them.
    "expiry: ",
    "point-in-time recovery: ",
    "lifecycle: ",
    # It tells of no filter at all as of an empty text.
    "FilterPolicy:  -> {}",
}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin", type=pathlib.Path, required=True)
    folder = arguments.parse_args().bin
    # The one that the emulator takes whoever calls its API Gateway to belong to.
    account = Account("000000000000")
    prefix = f"d-{random.randrange(10**7, 10**8)}"
    parameters = {
        "Installation": prefix,
        "KeepData": "false",
        "EndpointUrl": account.url,
        "Roots": f"docs={stack.ROOT / 'docs'}",
    }
    stack.deploy(account, prefix, stack.packaged(account, folder), parameters)
    made = stack.resources(account, prefix)
    print(f"{len(made)} resources of the stack")
    stack.let_sources_run(account, prefix)
    same_as_code(account, prefix, folder / "waybill")
    drive(account, prefix, made["HttpApi"], folder / "waybill")
    print(f"{alarms.check(account, prefix)} alarms fired, and were told")
    stack.delete(account, prefix)
    left = stack.left(account, prefix)
    assert not left, f"the stack is gone and left {left}"
    key = account.client("kms").describe_key(KeyId=made["MasterKey"])["KeyMetadata"]
    assert key["KeyState"] == "Enabled", f"the master key went with the stack: {key['KeyState']}"
    print("nothing is left of the stack but its master key")


def waybill(account: Account, prefix: str, program: pathlib.Path, *words: str):
    environment = {"PATH": os.environ["PATH"], **account.environment(prefix)}
    return subprocess.run(
        [program, *words], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )


def same_as_code(account: Account, prefix: str, program: pathlib.Path) -> None:
    """`waybill infra plan` compares what is there with the code's own description."""
    told = waybill(account, prefix, program, "infra", "plan")
    assert told.returncode in (0, 8), told.stderr
    rows = [row for row in told.stdout.splitlines() if f"{prefix}" in row]
    alike = [row for row in rows if " is there" in row]
    others = [row for row in rows if " to be " in row]
    unknown = [row for row in others if not any(known in row for known in KNOWN)]
    assert alike and not unknown, "the stack is not as the code has it:\n" + "\n".join(unknown)
    print(f"{len(rows)} rows of `waybill infra plan`, {len(others)} of them known differences")


def drive(account: Account, prefix: str, api: str, program: pathlib.Path) -> None:
    """One call through the HTTP API and three functions."""
    with tempfile.TemporaryDirectory() as data:
        made = waybill(account, prefix, program, "keys", "--data-dir", data, "first")
        assert made.returncode == 0, made.stderr
        key = pathlib.Path(data, "api-key").read_text().strip()
    base = f"{account.url}/_aws/execute-api/{api}/$default"

    def ask(path: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            base + path,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} answers {error.code}: {error.read()}") from error

    began = time.monotonic()
    call = ask("/calls", {"tool": "files_stat", "arguments": {"path": "topology.md"}})
    while call["status"] not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() - began < PATIENCE_S, f"the call does not end: {call}"
        call = ask(f"/mcp/status/{call['id']}?wait=10")
    assert call["status"] == "completed", call
    print(f"a call through API Gateway and Lambda took {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
