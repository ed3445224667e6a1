"""Send photos to a server and say how it went, as one JSON object; used by serving.py.

python benchmarks/load.py http://127.0.0.1:8000/predict PHOTOS --requests 1000 --connections 8
python benchmarks/load.py ... --rate 50       one every 20 ms, whether or not others are answered

Latency is from the moment a request was due, so a queue that forms here counts too.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

BOUNDARY = "silverprint-load"


class Answers(asyncio.Protocol):
    """One kept connection with one request on its way at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.data = transport, b""
        self.answer: asyncio.Future[int] | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) >= length and self.answer is not None:
            self.data = b""
            self.answer.set_result(int(head[9:12]))

    def connection_lost(self, _: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(0)

    async def ask(self, request: bytes) -> int:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


def form(url: str, name: str, picture: bytes, field: str) -> bytes:
    """Return a whole request that uploads one picture as a form does."""
    parts = urlsplit(url)
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: image/jpeg\r\n\r\n"
    ).encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()  # fmt: skip
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    url: str, requests: Sequence[bytes], count: int, connections: int, rate: float
) -> dict[str, object]:
    """Send so many requests over so many connections; with a rate, one every 1 / rate s."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    clients: asyncio.Queue[Answers] = asyncio.Queue()
    for _ in range(connections):
        _, client = await loop.create_connection(Answers, parts.hostname, parts.port)
        clients.put_nowait(client)
    seconds, statuses = [], Counter[int]()

    async def one(number: int, due: float) -> None:
        client = await clients.get()
        statuses[await client.ask(requests[number % len(requests)])] += 1
        seconds.append(time.perf_counter() - due)
        clients.put_nowait(client)

    began = time.perf_counter()
    if rate:
        tasks = []
        for number in range(count):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number, due)))
        await asyncio.gather(*tasks)
    else:

        async def again(first: int) -> None:
            for number in range(first, count, connections):
                await one(number, time.perf_counter())

        await asyncio.gather(*(again(first) for first in range(connections)))
    took = time.perf_counter() - began
    quantiles = np.quantile(seconds, (0.5, 0.99)) * 1000
    return {"rate": count / took, "p50": quantiles[0], "p99": quantiles[1], "statuses": statuses}


def main() -> None:
    """Read the arguments, send, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--field", default="files")
    options = parser.parse_args()
    files = sorted(path for path in options.photos.rglob("*") if path.is_file())
    requests = [form(options.url, path.name, path.read_bytes(), options.field) for path in files]
    found = load(options.url, requests, options.requests, options.connections, options.rate)
    print(json.dumps(asyncio.run(found)))


if __name__ == "__main__":
    main()
