"""A loopback relay that adds an API key to every request, for clients that cannot send headers.

It works on bytes: apart from the added line and its own port, a request arrives as it was sent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

# The most that one request head may have, in bytes.
HEAD = 64 * 1024


@asynccontextmanager
async def relay(url: str, key: str) -> AsyncIterator[str]:
    """Yields the URL to use instead of `url`."""
    gateway = urlsplit(url)
    connections: set[asyncio.Task] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        try:
            up_reader, up_writer = await asyncio.open_connection(gateway.hostname, gateway.port)
            ports = (f":{port}".encode(), f":{gateway.port}".encode())
            await until_one_ends(
                requests(reader, up_writer, ports, key), copy(up_reader, writer)
            )
            up_writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # One side hung up; the other one notices by itself.
        finally:
            writer.close()
            connections.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=HEAD)
    port = server.sockets[0].getsockname()[1]
    try:
        yield urlunsplit(gateway._replace(netloc=f"127.0.0.1:{port}"))
    finally:
        server.close()
        for connection in connections:
            connection.cancel()


async def until_one_ends(*halves) -> None:
    tasks = [asyncio.ensure_future(half) for half in halves]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def requests(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ports: tuple[bytes, bytes],
    key: str,
) -> None:
    """Request by request, because each head gets the key."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first, rest = head.replace(*ports).split(b"\r\n", 1)
        authorization = f"\r\nAuthorization: Bearer {key}\r\n".encode()
        writer.write(first + authorization + rest)
        writer.write(await reader.readexactly(length(head)))
        await writer.drain()


def length(head: bytes) -> int:
    """The body's length; the clients that come through here never send chunks."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"transfer-encoding:"):
            raise ValueError("the relay does not read chunked requests")
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    return 0


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(HEAD):
        writer.write(data)
        await writer.drain()
