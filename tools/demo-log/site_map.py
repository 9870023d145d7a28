#!/usr/bin/env python3
"""Writes the small shop that nginx serves while the demo's log is recorded.

    site_map.py FOLDER

The pages are filler: only their paths and sizes show in an access log.
"""

import pathlib
import random
import sys

GUIDES = ["mosses", "ferns", "river-birds", "dragonflies", "freshwater-fish", "lichens", "alpine-flowers",
          "mushrooms", "tree-bark", "night-moths", "pond-life", "tracks-and-signs", "clouds", "stones", "grasses",
          "bumblebees", "otters", "bats", "snails", "star-charts"]
POSTS = ["why-rivers-bend", "first-frost", "a-year-of-one-pond", "how-we-print", "counting-swifts", "maps-we-love",
         "the-quiet-hour", "field-notes-7", "field-notes-8", "field-notes-9", "new-edition", "summer-sale"]
CHAPTERS = 12

PAGES = (["/", "/about", "/cart", "/search", "/guides/", "/blog/"]
         + [f"/guides/{g}/" for g in GUIDES] + [f"/blog/{p}/" for p in POSTS])
"""What a visitor opens; `/about` and the like are directories, so nginx answers them with a redirect first."""

SHARED_ASSETS = ["/assets/site.css", "/assets/site.js", "/assets/logo.svg", "/favicon.ico"]


def assets_of(page: str) -> list[str]:
    """The images that a page shows."""
    if page.startswith("/guides/") and page != "/guides/":
        name = page.split("/")[2]
        return [f"/images/{name}/cover.jpg"] + [f"/images/{name}/plate-{n}.jpg" for n in range(1, 5)]
    if page.startswith("/blog/") and page != "/blog/":
        return [f"/images/blog/{page.split('/')[2]}.jpg"]
    return ["/images/banner.png"]


def main(folder: str) -> None:
    root, sizes = pathlib.Path(folder), random.Random(1)

    def put(path: str, low: int, high: int) -> None:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"\n" * sizes.randint(low, high))

    for page in PAGES:
        put(page.rstrip("/") + "/index.html", 2_000, 24_000)
        for asset in assets_of(page):
            put(asset, 8_000, 90_000)
    for guide in GUIDES:
        for chapter in range(1, CHAPTERS + 1):
            put(f"/guides/{guide}/chapter-{chapter}.html", 5_000, 60_000)
    for asset in SHARED_ASSETS:
        put(asset, 900, 40_000)
    put("/robots.txt", 120, 120)
    put("/sitemap.xml", 7_000, 7_000)
    put("/feed.xml", 12_000, 12_000)


if __name__ == "__main__":
    main(sys.argv[1])
