#!/usr/bin/env python3
"""The Inspector's command line against the gateway, in both protocol eras."""

import json
import subprocess
import tempfile

from checks import NODE, SLOW, TOOLS, arguments, check, equal, run

CLI = TOOLS / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
# One command, in seconds, its start included.
DEADLINE = 60


def inspect(url: str, key: str, era: str, *command: str) -> subprocess.CompletedProcess:
    """Runs one command in a home of its own: the Inspector writes settings there."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(
            (
                str(NODE), str(CLI), "--cli", url, "--transport", "http", "--protocol-era", era,
                "--header", f"Authorization: Bearer {key}", "--format", "json", "-q", *command,
            ),
            env={"HOME": home, "PATH": str(NODE.parent)},
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip


def result(url: str, key: str, era: str, *command: str) -> dict:
    done = inspect(url, key, era, *command)
    check(done.returncode == 0, f"{era} {command}: exit {done.returncode}: {done.stderr.strip()}")
    output = json.loads(done.stdout)
    return output.get("result", output)


def call(tool: str, *pairs: str) -> tuple[str, ...]:
    given = [word for pair in pairs for word in ("--tool-arg", pair)]
    return ("--method", "tools/call", "--tool-name", tool, *given)


async def main() -> None:
    given = arguments(__doc__)
    for era in ("auto", "legacy"):
        where = (given.url, given.key, era)
        names = {tool["name"] for tool in result(*where, "--method", "tools/list")["tools"]}
        check({"greet", "slow_compute"} <= names, f"{era}: tools/list has {names}")
        greeting = result(*where, *call("greet", "name=Ada"))
        equal(greeting["content"][0]["text"], "Hello, Ada!", f"{era}: greet")
        slow = result(*where, *call("slow_compute", f"seconds={SLOW}", "label=waited"))
        check("waited" in slow["content"][0]["text"], f"{era}: slow call: {slow}")
    failed = inspect(given.url, given.key, "auto", *call("test_error_handling"))
    check(failed.returncode != 0, "a tool error must be an exit code")
    refused = inspect(given.url, "wrong", "auto", "--method", "tools/list")
    check(refused.returncode != 0, "a wrong key was let in")


if __name__ == "__main__":
    run(main())
