"""The peer of the fan-out bench: what a small aiohttp server does with a press, nothing else.

Reads PRESS lines from a serial port and tells every WebSocket client to stop and to play. Usage:
fanout_peer.py PORT. Prints the address it listens at.
"""

import asyncio
import json
import os
import sys

from aiohttp import web

clients = set()


async def websocket(request):
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    clients.add(ws)
    try:
        async for _ in ws:
            pass
    finally:
        clients.discard(ws)
    return ws


async def broadcast(message):
    data = json.dumps(message)
    for ws in list(clients):
        try:
            await ws.send_str(data)
        except ConnectionError:
            clients.discard(ws)


async def presses(queue):
    while True:
        number = await queue.get()
        await broadcast({"type": "stop"})
        await broadcast({"type": "play", "id": number})


async def main():
    port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    queue = asyncio.Queue()
    rest = b""

    def readable():
        nonlocal rest
        *lines, rest = (rest + os.read(port, 1024)).split(b"\n")
        for line in lines:
            if line.startswith(b"PRESS "):
                queue.put_nowait(int(line[6:]))

    asyncio.get_running_loop().add_reader(port, readable)
    app = web.Application()
    app.router.add_get("/ws", websocket)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, number = site._server.sockets[0].getsockname()
    print(f"listening at http://{host}:{number}/", flush=True)
    await presses(queue)


asyncio.run(main())
