"""Checks an echo server with the Python package `websockets`. See README.md."""

import argparse
import asyncio
import ssl
import sys

from websockets.asyncio.client import connect

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from cases import messages, whole
from deflate import arguments

TIME_LIMIT = 50


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--deflate-params", action="append")
    parser.add_argument("--ca")
    parser.add_argument("--subprotocol")
    return parser.parse_args()


def expect(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r:.80}, got {found!r:.80}")


def offer(params):
    return arguments(params) if params else {"client_max_window_bits": True}


async def check_echo(ws, name, message):
    await ws.send(message)
    expect(await ws.recv(), whole(message), name)


async def check_ping(ws, payload):
    await (await ws.ping(payload))


async def check_ping_between_fragments(ws):
    async def fragments():
        yield "before "
        # It is answered while the message is still incomplete.
        await check_ping(ws, b"in between")
        yield "after"

    await ws.send(fragments())
    expect(await ws.recv(), "before after", "ping between fragments")


async def check_pipelined(ws):
    texts = [f"message {number}" for number in range(200)]
    for text in texts:
        await ws.send(text)
    expect([await ws.recv() for _ in texts], texts, "200 messages at once")


async def check_close(ws):
    await ws.close(1000, "bye")
    expect((ws.close_code, ws.close_reason), (1000, "bye"), "close")


async def check_server(chosen, params):
    tls = ssl.create_default_context(cafile=chosen.ca) if chosen.url.startswith("wss:") else None
    ws = await connect(
        chosen.url,
        ssl=tls,
        compression=None,
        extensions=[ClientPerMessageDeflateFactory(**offer(params))] if chosen.deflate else None,
        subprotocols=[chosen.subprotocol] if chosen.subprotocol else None,
        max_size=1 << 25,
        proxy=None,
    )
    expect([extension.name for extension in ws.protocol.extensions],
           ["permessage-deflate"] if chosen.deflate else [], "extensions")
    expect(ws.subprotocol, chosen.subprotocol, "subprotocol")
    for name, message in messages():
        await check_echo(ws, name, message)
    await check_ping(ws, b"")
    await check_ping(ws, b"p" * 125)
    await check_ping_between_fragments(ws)
    await check_pipelined(ws)
    await check_close(ws)


async def run(chosen):
    for params in chosen.deflate_params or [""]:
        await check_server(chosen, params)


def main():
    try:
        asyncio.run(asyncio.wait_for(run(options()), TIME_LIMIT))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print("ok")


main()
