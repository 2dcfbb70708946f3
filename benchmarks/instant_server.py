"""A chat completion for every request, at once: a server that costs as little as can be, on a core of its own."""

import asyncio
import os
import sys
from typing import Any

import uvloop

_BODY = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"That is a fair question, and here is an answer '
    b'that a person can use."},"finish_reason":"stop"}],"usage":{"prompt_tokens":64,"completion_tokens":16}}'
)
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class Instant(asyncio.Protocol):
    """Reads headers and Content-Length, nothing else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            self._transport.write(_REPLY)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    uvloop.run(main())
