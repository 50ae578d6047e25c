"""far_hammer.py HOST PORT CLIENTS: clients that ask without a pause, kept and fresh connections in halves, until the port is
closed. Prints one JSON line: answered, failed by cause. A refused connection is the end, not a failure; a connection that
was made and then brings no whole answer is one, unless it was kept, silent and closed before the request was written.
Standard library only: it runs inside a network namespace."""
import asyncio
import json
import random
import sys

BODY = b'{"customer":"c"}'
POST = b"POST /events/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(x[15:]) for x in lines if x.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return int(lines[0].split()[1]), b"connection: close" in lines


async def client(host, port, keep, books):
    reader = writer = None
    while True:
        if writer is None:
            try:
                reader, writer = await asyncio.open_connection(host, port)
            except ConnectionRefusedError:
                return
            except OSError as e:
                books["failed"][f"connect: {type(e).__name__}"] = books["failed"].get(f"connect: {type(e).__name__}", 0) + 1
                return
        close = True
        if not reader.at_eof():  # RFC 9112 9.3: a client looks whether its connection was closed before it sends
            try:
                writer.write(POST)
                status, close = await asyncio.wait_for(answer(reader), 30)
                books["answered"][str(status)] = books["answered"].get(str(status), 0) + 1
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as e:
                why = f"{'kept' if keep else 'fresh'}: {type(e).__name__}"
                books["failed"][why] = books["failed"].get(why, 0) + 1
        if close or not keep:
            writer.close()
            reader = writer = None
        await asyncio.sleep(random.random() * 0.02)


async def main():
    host, port, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    books = {"answered": {}, "failed": {}}
    await asyncio.gather(*(client(host, port, i % 2 == 0, books) for i in range(clients)))
    print(json.dumps(books))


asyncio.run(main())
