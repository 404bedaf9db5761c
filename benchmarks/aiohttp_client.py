"""What a careful but ordinary client costs: aiohttp on uvloop, a line at a time, orjson per event, a stamp per chunk.

A closed loop of users against one OpenAI-compatible server; prints one JSON object with its CPU time, the chunks it
read, and per request (id, sent, first token, last token) in ns of the monotonic clock.
"""

import argparse
import asyncio
import json
import resource
import sys
import time

import aiohttp
import orjson
import uvloop

Row = tuple[str, int, int, int, int]


async def one_request(session: aiohttp.ClientSession, url: str, model: str, tokens: int, request_id: str) -> Row:
    """Send one streaming chat request and return (id, sent, first token, last token, text chunks)."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"{request_id}: tell me a story."}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    first = last = chunks = 0
    sent = time.monotonic_ns()
    async with session.post(url, data=orjson.dumps(body), headers={"x-request-id": request_id}) as response:
        async for line in response.content:
            now = time.monotonic_ns()
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            choices = orjson.loads(line[6:])["choices"]
            if choices and choices[0]["delta"].get("content"):
                first = first or now
                last = now
                chunks += 1
    return request_id, sent, first, last, chunks


async def user(
    session: aiohttp.ClientSession, arguments: argparse.Namespace, number: int, start: float, rows: list[Row]
) -> None:
    """Ask again and again until the time is up."""
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    turn = 0
    while time.monotonic() < arguments.until:
        request_id = f"aio-{number}-{turn}"
        rows.append(await one_request(session, arguments.url, arguments.model, arguments.tokens, request_id))
        turn += 1


async def run(arguments: argparse.Namespace) -> list[Row]:
    """Run the closed loop; users start spread over the ramp."""
    rows: list[Row] = []
    begin = time.monotonic() + 0.5
    arguments.until = begin + arguments.ramp + arguments.seconds
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        starts = [begin + arguments.ramp * number / arguments.users for number in range(arguments.users)]
        await asyncio.gather(*(user(session, arguments, number, start, rows) for number, start in enumerate(starts)))
    return rows


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--ramp", type=float, default=2)
    arguments = parser.parse_args()
    rows = uvloop.run(run(arguments))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "chunks": sum(row[4] for row in rows), "rows": rows}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
