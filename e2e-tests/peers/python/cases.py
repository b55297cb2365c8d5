"""The messages that the client sends. Each echo has to be equal."""

PAYLOAD = bytes(range(256))


def messages():
    """Yields a name and a message: str, bytes, or a list of fragments."""
    yield "text", "Hello"
    yield "text beyond ASCII", "Grüße, 世界, 🦀"
    yield "empty text", ""
    yield "empty binary", b""
    yield "binary", PAYLOAD
    # Around the sizes at which the length field grows.
    for length in (125, 126, 127, 65535, 65536, 1 << 20):
        yield f"binary of {length} bytes", (PAYLOAD * (length // 256 + 1))[:length]
    yield "text of 100000 characters", "ä" * 100_000
    yield "fragmented text", ["Frag", "ment", "", "ed 🦀"]
    yield "fragmented binary", [PAYLOAD, b"", PAYLOAD[::-1]]
    yield "empty fragments", ["", "", ""]
    yield "many fragments", [PAYLOAD] * 64


def whole(message):
    """The expected echo. It need not keep the fragments."""
    return type(message[0])().join(message) if isinstance(message, list) else message
