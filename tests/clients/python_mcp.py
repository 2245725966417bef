#!/usr/bin/env python3
"""The official Python SDK (`mcp`) against the gateway, in both protocol eras.

Lists, calls quick tools, sees progress, answers questions, takes a slow result in the response and
as a handle that it polls at its status address and cancels.
"""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from checks import SLOW, Failed, arguments, check, equal, run

# How often a status address is polled before the script gives up, a quarter second apart.
POLLS = 80
ENDED = ("completed", "failed", "cancelled")


async def answer(_context, _params) -> ElicitResult:
    """The user behind every question."""
    return ElicitResult(action="accept", content={"name": "Alice", "color": "blue"})


@asynccontextmanager
async def connected(url: str, key: str, mode: str, **headers: str):
    headers["Authorization"] = f"Bearer {key}"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(
            streamable_http_client(url, http_client=http),
            mode=mode,
            elicitation_callback=answer,
        ) as client,
    ):
        yield client


def text(result) -> str:
    check(not result.is_error, f"the tool failed: {result.content}")
    return result.content[0].text


async def everyday(url: str, key: str, mode: str) -> None:
    """What every client does first, and a slow call that it waits for."""
    async with connected(url, key, mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        for name in ("test_simple_text", "greet", "slow_compute"):
            check(name in names, f"{mode}: tools/list has no {name}")
        equal(text(await client.call_tool("greet", {"name": "Ada"})), "Hello, Ada!", mode)

        failed = await client.call_tool("test_error_handling", {})
        check(failed.is_error, f"{mode}: test_error_handling did not fail")

        seen = []

        async def progress(done, total, _message) -> None:
            seen.append((done, total))

        text(await client.call_tool("test_tool_with_progress", {}, progress_callback=progress))
        equal(seen, [(0, 100), (50, 100), (100, 100)], f"{mode}: progress")

        slow = {"seconds": SLOW, "label": "waited"}
        check("waited" in text(await client.call_tool("slow_compute", slow)), f"{mode}: slow call")


async def questions(url: str, key: str) -> None:
    """Multi-round input; the SDK answers by its callback and retries."""
    async with connected(url, key, "auto") as client:
        name = "test_input_required_result_elicitation"
        equal(text(await client.call_tool(name, {})), "Hello, Alice!", "one question")
        text(await client.call_tool("test_input_required_result_multi_round", {}))


async def reading(url: str, key: str) -> None:
    async with connected(url, key, "auto") as client:
        read = await client.read_resource("test://template/7/data")
        check("Data for ID: 7" in read.contents[0].text, "the template was not filled in")
        prompt = {"arg1": "one", "arg2": "two"}
        prompt = await client.get_prompt("test_prompt_with_arguments", prompt)
        check("arg2='two'" in prompt.messages[0].content.text, "the prompt's argument is missing")


async def ended(http: httpx2.AsyncClient, url: str) -> dict:
    """Polls a status address until the call has ended."""
    for _ in range(POLLS):
        response = await http.get(url)
        equal(response.status_code, 200, "status address")
        if response.json()["status"] in ENDED:
            return response.json()
        await asyncio.sleep(0.25)
    raise Failed(f"{url} did not end: {response.json()}")


async def handles(url: str, key: str, mode: str) -> None:
    """A client without tasks that prefers not to wait gets a handle, and drives the call by it."""
    async with (
        connected(url, key, mode, Prefer="respond-async") as client,
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
    ):
        slow = {"seconds": SLOW, "label": "polled"}
        handle = (await client.call_tool("slow_compute", slow)).structured_content
        for field in ("callId", "status", "statusUrl", "pollAfterMs"):
            check(field in handle, f"{mode}: the handle has no {field}: {handle}")
        document = await ended(http, urljoin(url, handle["statusUrl"]))
        equal(document["id"], handle["callId"], f"{mode}: id of the status document")
        equal(document["tool"], "slow_compute", f"{mode}: tool of the status document")
        equal(document["status"], "completed", f"{mode}: status")
        check("polled" in document["result"]["content"][0]["text"], f"{mode}: {document}")

        handle = (await client.call_tool("slow_compute", {"seconds": 300})).structured_content
        status = urljoin(url, handle["statusUrl"])
        check((await http.delete(status)).is_success, f"{mode}: DELETE of the status address")
        equal((await ended(http, status))["status"], "cancelled", f"{mode}: after DELETE")

        unknown = await http.get(status.replace(handle["callId"], "0" * 36))
        equal(unknown.status_code, 404, f"{mode}: unknown id")


async def disconnect(url: str, key: str) -> None:
    """A client that goes away mid-call cancels nothing for others: the gateway still answers."""
    async with connected(url, key, "auto") as client:
        call = asyncio.create_task(client.call_tool("slow_compute", {"seconds": 30}))
        await asyncio.sleep(0.5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        equal(text(await client.call_tool("greet", {"name": "Ada"})), "Hello, Ada!", "after a cancel")


async def main() -> None:
    given = arguments(__doc__)
    for mode in ("auto", "legacy"):
        await everyday(given.url, given.key, mode)
        await handles(given.url, given.key, mode)
    await questions(given.url, given.key)
    await reading(given.url, given.key)
    await disconnect(given.url, given.key)


if __name__ == "__main__":
    run(main())
