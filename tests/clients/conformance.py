#!/usr/bin/env python3
"""The official MCP conformance suite against the gateway.

Runs what each revision requires and what the suite runs beside it without scoring: the tasks
extension, header validation, JSON Schema 2020-12. Everything must pass but `EXPECTED`, and what is
expected to fail must fail. The suite cannot send an Authorization header; a relay adds it.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from checks import NODE, TOOLS, Failed, arguments, check, run
from relay import relay

SUITE = TOOLS / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
REVISIONS = ("2026-07-28", "2025-11-25")
# One revision, in seconds.
DEADLINE = 300
# Scenarios of the tasks extension; a suite that silently ran none would prove nothing.
TASKS = 10
# They need requests from the server to the client, which a gateway without sessions cannot send.
EXPECTED = {
    ("2025-11-25", "tools-call-sampling"),
    ("2025-11-25", "tools-call-elicitation"),
    ("2025-11-25", "elicitation-sep1034-defaults"),
    ("2025-11-25", "elicitation-sep1330-enums"),
}

Scenarios = dict[str, list[dict]]


async def suite(url: str, revision: str) -> Scenarios:
    """The checks of every scenario that the suite ran for a revision."""
    with tempfile.TemporaryDirectory() as out:
        process = await asyncio.create_subprocess_exec(
            str(NODE), str(SUITE), "server", "--url", url, "--requirements", revision, "-o", out,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
        except TimeoutError:
            process.kill()
            raise Failed(f"{revision}: the suite did not end in {DEADLINE} s") from None
        ran = re.findall(r"^=== Running scenario: (\S+) ===$", output.decode(), re.MULTILINE)
        check(ran, f"{revision}: no scenario ran:\n{output.decode()}")
        return {scenario: checks(Path(out), scenario) for scenario in ran}


def checks(out: Path, scenario: str) -> list[dict]:
    """What the suite wrote about a scenario; nothing counts as a failure."""
    name = re.compile(rf"server-{re.escape(scenario)}-\d{{4}}-\d\d-\d\dT[\d-]+Z")
    found = [each for each in out.iterdir() if name.fullmatch(each.name)]
    if not found:
        return [{"id": scenario, "status": "FAILURE", "errorMessage": "the scenario crashed"}]
    return json.loads((found[0] / "checks.json").read_text())


def with_status(scenarios: Scenarios, status: str) -> Iterator[tuple[str, str]]:
    for scenario, its_checks in scenarios.items():
        for each in its_checks:
            if each["status"] == status:
                message = each.get("errorMessage") or each.get("description", "")
                yield scenario, f"{each['id']}: {message}"


def judge(revision: str, scenarios: Scenarios) -> list[str]:
    """Prints the outcome and returns what is wrong with it."""
    passed = sum(1 for _ in with_status(scenarios, "SUCCESS"))
    skipped = sum(1 for _ in with_status(scenarios, "SKIPPED"))
    print(f"{revision}: {len(scenarios)} scenarios, {passed} checks passed, {skipped} skipped")
    for scenario, message in with_status(scenarios, "WARNING"):
        print(f"  warning {scenario} {message}")
    failures = list(with_status(scenarios, "FAILURE"))
    failed = {scenario for scenario, _ in failures}
    wrong = []
    for scenario, message in failures:
        expected = (revision, scenario) in EXPECTED
        print(f"  {'expected' if expected else 'FAILED'} {scenario} {message}")
        if not expected:
            wrong.append(f"{revision} {scenario}")
    for expected_revision, scenario in sorted(EXPECTED):
        if expected_revision == revision and scenario not in failed:
            wrong.append(f"{revision} {scenario} passes, remove it from EXPECTED")
    return wrong


async def main() -> None:
    given = arguments(__doc__)
    wrong = []
    async with relay(given.url, given.key) as url:
        for revision in REVISIONS:
            scenarios = await suite(url, revision)
            if revision == REVISIONS[0]:
                tasks = sum(scenario.startswith("tasks-") for scenario in scenarios)
                check(tasks == TASKS, f"{tasks} tasks scenarios ran, not {TASKS}")
            wrong += judge(revision, scenarios)
    check(not wrong, "conformance: " + ", ".join(sorted(set(wrong))))


if __name__ == "__main__":
    run(main())
