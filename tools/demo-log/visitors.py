#!/usr/bin/env python3
"""Visits the shop of site_map.py as a few thousand people, crawlers and scanners would.

    visitors.py --seconds N --rate REQUESTS_PER_SECOND [--seed S]

Each visitor has an address of its own, announced by a PROXY protocol line at the start of every connection. All addresses come from
blocks that are reserved for documentation, benchmarks and carrier NAT: none of them is a real person's.
How busy a visitor is follows Zipf's law, and traffic swells and ebbs.
"""

import argparse
import asyncio
import bisect
import itertools
import math
import random
import time
from dataclasses import dataclass

from site_map import CHAPTERS, GUIDES, PAGES, SHARED_ASSETS, assets_of

ADDRESS, PORT = "127.0.0.1", 18080
VISITORS = 4_000
ZIPF_EXPONENT = 0.9
REQUESTS_PER_VISIT = 10.0
"""What a visit comes to on average; measured, used only to turn the wanted rate into visits a second."""

CHROME = "Mozilla/5.0 ({os}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 ({os}; rv:{v}.0) Gecko/20100101 Firefox/{v}.0"
SAFARI = "Mozilla/5.0 ({os}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{v} Safari/605.1.15"
PHONE = "Mozilla/5.0 (Linux; Android {v}; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.0.0 Mobile Safari/537.36"
DESKTOPS = ["Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"]
BROWSERS = (
    [CHROME.format(os=os, v=v) for os in DESKTOPS for v in (138, 139, 140, 141)]
    + [FIREFOX.format(os=os, v=v) for os in DESKTOPS for v in (128, 140, 143)]
    + [SAFARI.format(os="Macintosh; Intel Mac OS X 10_15_7", v=v) for v in ("17.6", "18.5", "26.0")]
    + [SAFARI.format(os="iPhone; CPU iPhone OS 18_6 like Mac OS X", v=v) for v in ("18.5", "18.6")]
    + [PHONE.format(v=v, c=c) for v in (10, 13, 14) for c in (139, 140, 141)]
)
CRAWLERS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
    "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)",
]
TOOLS = ["curl/8.14.1", "python-requests/2.32.4", "Go-http-client/1.1", "Wget/1.25.0"]
REFERERS = ["-"] * 6 + ["https://www.google.com/", "https://duckduckgo.com/", "https://www.bing.com/",
                        "https://news.ycombinator.com/", "https://fieldguides.example/newsletter?n=41"]
PROBES = ["/wp-login.php", "/.env", "/.git/config", "/phpmyadmin/", "/admin/", "/xmlrpc.php", "/cgi-bin/luci",
          "/search?q=%22%3E%3Cscript%3E", "/index.php?id=1'--", "/old/backup.zip"]
GARBAGE = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x9a\xd1\r\n", b"\x03\x00\x00/*\xe0\x00\x00\r\n",
           b"SSH-2.0-Go\r\n", b"GET /caf\xe9 \"quoted\" HTTP/1.1\r\n\r\n"]
SITE = "https://fieldguides.example"


@dataclass
class Visitor:
    address: str
    agent: str
    kind: str  # "person", "crawler", "tool" or "scanner"


def make_visitors(rng: random.Random) -> list[Visitor]:
    """A crowd in order of how busy its members are; crawlers are among the busiest, scanners among the rest."""
    visitors, taken = [], set()
    while len(visitors) < VISITORS:
        address = rng.choices(
            [lambda: f"198.{rng.choice((18, 19))}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
             lambda: f"100.{rng.randrange(64, 128)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
             lambda: f"203.0.113.{rng.randrange(1, 255)}",
             lambda: f"192.0.2.{rng.randrange(1, 255)}",
             lambda: f"2001:db8:{rng.randrange(1 << 16):x}:{rng.randrange(1, 1 << 16):x}::{rng.randrange(1, 1 << 16):x}",
             lambda: f"2001:db8::{rng.randrange(1, 1 << 16):x}"],
            weights=[50, 24, 4, 3, 16, 3])[0]()
        if address in taken:
            continue
        taken.add(address)
        rank = len(visitors)
        if rank < 40 and rank % 8 == 3:
            visitors.append(Visitor(address, CRAWLERS[rank // 8], "crawler"))
        elif rank % 97 == 50:
            visitors.append(Visitor(address, rng.choice(TOOLS), "scanner"))
        elif rank % 31 == 7:
            visitors.append(Visitor(address, rng.choice(TOOLS), "tool"))
        else:
            visitors.append(Visitor(address, rng.choice(BROWSERS), "person"))
    return visitors


class Connection:
    """One keep-alive connection of one visitor."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.streams, self.requests = visitor, None, 0

    async def _open(self):
        reader, writer = await asyncio.open_connection(ADDRESS, PORT)
        family, server = ("TCP6", "::1") if ":" in self.visitor.address else ("TCP4", ADDRESS)
        writer.write(f"PROXY {family} {self.visitor.address} {server} 40000 80\r\n".encode())
        self.streams = reader, writer
        return self.streams

    async def request(self, path: str, referer: str = "-", method: str = "GET", extra: str = "") -> None:
        reader, writer = self.streams or await self._open()
        headers = f"Host: fieldguides.example\r\nUser-Agent: {self.visitor.agent}\r\n{extra}"
        if referer != "-":
            headers += f"Referer: {referer}\r\n"
        writer.write(f"{method} {path} HTTP/1.1\r\n{headers}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        self.requests += 1
        status = int(head[9:12])
        length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
        if method != "HEAD" and length and status not in (204, 304):
            await reader.readexactly(int(length))
        if b"connection: close" in head:
            self.close()

    async def garbage(self, raw: bytes) -> None:
        """Bytes that are no request: nginx answers 400 and logs them escaped."""
        reader, writer = self.streams or await self._open()
        writer.write(raw)
        self.requests += 1
        await reader.read(4096)
        self.close()

    def close(self) -> None:
        if self.streams:
            self.streams[1].close()
            self.streams = None


async def person(rng: random.Random, line: Connection) -> None:
    referer, known = rng.choice(REFERERS), rng.random() < 0.5
    for _ in range(min(8, 1 + int(rng.expovariate(0.8)))):
        page = rng.choices(PAGES, weights=[1 / (n + 1) ** 0.7 for n in range(len(PAGES))])[0]
        roll = rng.random()
        if page == "/search":
            page = f"/search/?q={rng.choice(GUIDES)}&page={rng.randrange(1, 4)}"
        elif roll < 0.02:
            page = "/home"
        elif roll < 0.06:
            page = f"/old/{rng.choice(GUIDES)}/"
        elif roll < 0.09:
            page = f"/guides/{rng.choice(GUIDES)}-{rng.randrange(2019, 2025)}/"  # withdrawn: 404
        await line.request(page, referer)
        referer = SITE + page
        unchanged = "If-Modified-Since: Tue, 19 Jan 2038 03:14:07 GMT\r\n" if known else ""
        for asset in SHARED_ASSETS if not known or rng.random() < 0.2 else []:
            await line.request(asset, referer, extra=unchanged)
        known = True
        for asset in assets_of(page):
            part = "Range: bytes=0-8191\r\n" if rng.random() < 0.02 else ""
            await line.request(asset, referer, extra=part)
        if rng.random() < 0.25:
            model = "b" if rng.random() < 0.06 else "a"
            await line.request(f"/api/recommendations?model={model}", referer)
        if "/guides/" in page and rng.random() < 0.3:
            await line.request(f"/guides/{rng.choice(GUIDES)}/chapter-{rng.randrange(1, CHAPTERS + 1)}.html", referer)
        if rng.random() < 0.08:
            await line.request("/api/cart", referer, "POST", "Content-Length: 0\r\n")
        await asyncio.sleep(min(12.0, rng.expovariate(1 / 2.5)))


async def crawler(rng: random.Random, line: Connection) -> None:
    await line.request("/robots.txt")
    for _ in range(rng.randrange(4, 16)):
        guide = rng.choice(GUIDES)
        await line.request(rng.choice([f"/guides/{guide}/chapter-{rng.randrange(1, CHAPTERS + 3)}.html",
                                       f"/guides/{guide}/", f"/blog/?page={rng.randrange(1, 40)}", "/feed.xml"]))
        await asyncio.sleep(rng.uniform(0.2, 0.6))


async def tool(rng: random.Random, line: Connection) -> None:
    for _ in range(rng.randrange(1, 6)):
        await line.request(rng.choice(["/health", "/feed.xml", "/sitemap.xml"]), method=rng.choice(["GET", "HEAD"]))
        await asyncio.sleep(rng.uniform(0.5, 1.5))


async def scanner(rng: random.Random, line: Connection) -> None:
    for probe in rng.sample(PROBES, rng.randrange(3, 8)):
        await line.request(probe)
    if rng.random() < 0.5:
        await line.garbage(rng.choice(GARBAGE))


async def visit(rng: random.Random, visitor: Visitor, done: list[int]) -> None:
    line = Connection(visitor)
    try:
        await {"person": person, "crawler": crawler, "tool": tool, "scanner": scanner}[visitor.kind](rng, line)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the server closed an idle connection: the visitor goes away
    finally:
        line.close()
        done[0] += line.requests


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--rate", type=float, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    rng = random.Random(options.seed)
    crowd = make_visitors(rng)
    busyness = list(itertools.accumulate(1 / (rank + 1) ** ZIPF_EXPONENT for rank in range(len(crowd))))
    visits, done, start = set(), [0], time.monotonic()
    while (elapsed := time.monotonic() - start) < options.seconds:
        swell = 1 + 0.45 * math.sin(elapsed / 38) + 0.2 * math.sin(elapsed / 9)
        await asyncio.sleep(rng.expovariate(options.rate / REQUESTS_PER_VISIT * swell))
        visitor = crowd[bisect.bisect(busyness, rng.random() * busyness[-1])]
        task = asyncio.create_task(visit(random.Random(rng.random()), visitor, done))
        visits.add(task)
        task.add_done_callback(visits.discard)
    for task in visits:
        task.cancel()
    await asyncio.gather(*visits, return_exceptions=True)
    print(f"{done[0]} requests in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())
