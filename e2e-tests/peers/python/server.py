"""An echo server with the Python package `websockets`. See README.md."""

import argparse
import asyncio
import functools
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from deflate import arguments


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--deflate-params", default="")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--subprotocol")
    parser.add_argument("--ping", action="store_true")
    parser.add_argument("--close")
    return parser.parse_args()


def say(line):
    print(line, flush=True)


async def echo(chosen, ws):
    if chosen.ping:
        await (await ws.ping(b"are you there?"))
        say("pong")
    async for message in ws:
        await ws.send(message)
        if chosen.close:
            code, _, reason = chosen.close.partition(":")
            await ws.close(int(code), reason)


async def handle(chosen, ws):
    say(f"open {ws.request.path}")
    try:
        await echo(chosen, ws)
    except ConnectionClosed:
        pass  # reported below
    await ws.wait_closed()
    say(f"closed {ws.close_code} {ws.close_reason}".rstrip())


def tls_context(chosen):
    if not chosen.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chosen.tls_cert, chosen.tls_key)
    return context


async def run(chosen):
    host, _, port = chosen.listen.rpartition(":")
    tls = tls_context(chosen)
    server = await serve(
        functools.partial(handle, chosen),
        host.strip("[]"),
        int(port),
        ssl=tls,
        compression=None,
        extensions=[ServerPerMessageDeflateFactory(**arguments(chosen.deflate_params))] if chosen.deflate else None,
        subprotocols=[chosen.subprotocol] if chosen.subprotocol else None,
        # As in all servers here: a client that offers none of our subprotocols is accepted without one.
        select_subprotocol=select(chosen.subprotocol) if chosen.subprotocol else None,
        max_size=1 << 25,
    )
    host, port = server.sockets[0].getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    say(f"listening on {'wss' if tls else 'ws'}://{host}:{port}")
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()
    await server.wait_closed()


def select(name):
    return lambda _connection, offered: name if name in offered else None


asyncio.run(run(options()))
