#!/usr/bin/env python3
"""`mcp-remote`, the usual bridge for clients that only speak stdio, between the Python SDK and the
gateway."""

import tempfile

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from checks import NODE, SLOW, TOOLS, arguments, check, equal, run

BRIDGE = TOOLS / "node_modules/mcp-remote/dist/proxy.js"


async def main() -> None:
    given = arguments(__doc__)
    with tempfile.TemporaryDirectory() as home:
        bridge = StdioServerParameters(
            command=str(NODE),
            args=[
                str(BRIDGE), given.url, "--silent", "--allow-http", "--transport", "http-only",
                "--header", "Authorization: Bearer ${KEY}",
            ],
            # It keeps what it learns about servers in its home.
            env={"HOME": home, "MCP_REMOTE_CONFIG_DIR": home, "KEY": given.key},
        )  # fmt: skip
        async with Client(bridge, mode="legacy", read_timeout_seconds=60) as client:
            await drive(client)


async def drive(client: Client) -> None:
    names = {tool.name for tool in (await client.list_tools()).tools}
    check("slow_compute" in names, f"tools/list has {names}")
    greeting = await client.call_tool("greet", {"name": "Ada"})
    equal(greeting.content[0].text, "Hello, Ada!", "greet")

    seen = []

    async def progress(done, _total, _message) -> None:
        seen.append(done)

    await client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
    equal(seen, [0, 50, 100], "progress through the bridge")
    slow = await client.call_tool("slow_compute", {"seconds": SLOW, "label": "bridged"})
    check("bridged" in slow.content[0].text, f"slow call: {slow}")


if __name__ == "__main__":
    run(main())
