"""The messages that the client sends. Each comes back as it was sent."""

PAYLOAD = bytes(range(256))


def messages():
    """Yields a name and a message: str, bytes, or a list of fragments."""
    yield "text", "Hello"
    yield "text beyond ASCII", "Grüße, 世界, 🦀"
    yield "empty text", ""
    yield "empty binary", b""
    yield "binary", PAYLOAD
    # Around the places where the length field grows.
    for length in (125, 126, 127, 65535, 65536, 1 << 20):
        yield f"binary of {length} bytes", (PAYLOAD * (length // 256 + 1))[:length]
    yield "text of 100000 characters", "ä" * 100_000
    yield "fragmented text", ["Frag", "ment", "", "ed 🦀"]
    yield "fragmented binary", [PAYLOAD, b"", PAYLOAD[::-1]]
    yield "empty fragments", ["", "", ""]
    yield "many fragments", [PAYLOAD] * 64


def whole(message):
    """The message as it comes back: an echo need not keep the fragments."""
    return type(message[0])().join(message) if isinstance(message, list) else message
