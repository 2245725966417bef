#!/usr/bin/env python3
"""FastMCP's client with `fastmcp-tasks` (extension io.modelcontextprotocol/tasks) against the gateway.

It sends `tasks/*` without the Mcp-Name header, which the gateway must tolerate.
"""

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from fastmcp_tasks.client import call_tool_task

from checks import SLOW, arguments, check, equal, run


async def elicit(_message, _response_type, _params, _context) -> dict:
    """The user behind every question."""
    return {"confirm": True, "name": "Alice"}


def text(result) -> str:
    return result.content[0].text


async def transparent(client: Client) -> None:
    """`call_tool` hides the task: it polls, answers questions, and returns the result."""
    equal(text(await client.call_tool("greet", {"name": "Ada"})), "Hello, Ada!", "greet")
    slow = {"seconds": SLOW, "label": "hidden"}
    check("hidden" in text(await client.call_tool("slow_compute", slow)), "hidden task")
    deleted = text(await client.call_tool("confirm_delete", {"filename": "a.txt"}))
    equal(deleted, "Deleted a.txt", "a question inside a task")
    try:
        await client.call_tool("failing_job", {})
    except ToolError as error:
        check("always fails" in str(error), f"failing_job: {error}")
    else:
        check(False, "failing_job did not fail")


async def explicit(client: Client) -> None:
    """A handle: status, result, a question seen by hand, cancel."""
    task = await call_tool_task(client, "slow_compute", {"seconds": SLOW, "label": "held"})
    equal((await task.status()).status, "working", "status right after the start")
    check("held" in text(await task.result()), "result of the handle")

    parked = await call_tool_task(client, "confirm_delete", {"filename": "b.txt"})
    waiting = await parked.wait(state="input_required", timeout=20)
    check(waiting.input_requests, "input_required without inputRequests")
    equal(text(await parked.result()), "Deleted b.txt", "answered task")

    stopped = await call_tool_task(client, "slow_compute", {"seconds": 300})
    await stopped.cancel()
    equal((await stopped.wait(timeout=20)).status, "cancelled", "status after cancel")

    broken = await call_tool_task(client, "protocol_error_job", {})
    failed = await broken.wait(timeout=20)
    equal(failed.status, "failed", "protocol_error_job")
    check(failed.error["code"], "a failed task without an error code")


async def main() -> None:
    given = arguments(__doc__)
    transport = StreamableHttpTransport(given.url, headers={"Authorization": f"Bearer {given.key}"})
    async with Client(transport, elicitation_handler=elicit) as client:
        names = {tool.name for tool in await client.list_tools()}
        check("slow_compute" in names, "tools/list has no slow_compute")
        await transparent(client)
        await explicit(client)


if __name__ == "__main__":
    run(main())
