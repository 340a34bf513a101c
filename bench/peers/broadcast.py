"""`websockets`: a server that broadcasts each datagram it gets to all of its clients. Run as a program of its own."""

from __future__ import annotations

import asyncio
import socket
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

LARGEST = 64 * 1024


async def main(port: int, ear: str) -> None:
    """Serve on the port, and listen at the path."""
    clients: set[ServerConnection] = set()

    async def keep(client: ServerConnection) -> None:
        clients.add(client)
        try:
            await client.wait_closed()
        finally:
            clients.discard(client)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(ear)
        listener.setblocking(False)
        async with serve(keep, "127.0.0.1", port, compression=None):
            while True:
                told = await asyncio.get_running_loop().sock_recv(listener, LARGEST)
                broadcast(clients, told.decode())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
