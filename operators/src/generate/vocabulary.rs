//! What access-log lines are made of, rendered once, so that a line is a handful of copies.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::draw::{Draws, Zipf};

/// Many short byte strings in one piece of memory.
#[derive(Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Strings {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len() as u32);
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..self.ends[index] as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Distinct addresses of clients all over the world, one in twenty of them IPv6.
pub(super) fn public_addresses(seed: u64, count: u32) -> Strings {
    let mut addresses = Strings::default();
    let mut seen = HashSet::new();
    let mut draws = Draws::new(seed, u64::MAX);
    while addresses.len() < count as usize {
        let random = draws.next();
        let address = if random.is_multiple_of(20) {
            let [a, b, c, d] = [48, 32, 16, 0].map(|shift| (random >> shift) as u16);
            Ipv6Addr::new(0x2001, a & 0xfff, b, c, 0, 0, 0, d & 0xff).to_string()
        } else {
            let [first, b, c, d] = ((random >> 32) as u32).to_be_bytes();
            let first = 11 + first % 200;
            if matches!(first, 100 | 127 | 169 | 172 | 192 | 198) {
                continue;
            }
            Ipv4Addr::new(first, b, c, d).to_string()
        };
        if seen.insert(address.clone()) {
            addresses.push(&address);
        }
    }
    addresses
}

/// Distinct addresses of a private network: 192.168.1.1, 192.168.1.2, and so on, then 10.1.0.0 and so on.
pub(super) fn private_addresses(count: u32) -> Strings {
    let mut addresses = Strings::default();
    for index in 0..count {
        let address = if index < 254 * 254 {
            Ipv4Addr::new(192, 168, (1 + index / 254) as u8, (1 + index % 254) as u8)
        } else {
            Ipv4Addr::from_bits(0x0a01_0000 + (index - 254 * 254))
        };
        addresses.push(&address.to_string());
    }
    addresses
}

/// Requests with the responses that they get, by popularity.
pub(super) struct Requests {
    popularity: Zipf,
    /// From the request's quote to the space before the size: `"GET /a HTTP/1.1" 200 `.
    heads: Strings,
    sizes: Vec<Size>,
    /// Per request, a range of `referers`.
    referers: Strings,
    home: Vec<u32>,
}

/// The size of a response.
#[derive(Clone, Copy)]
pub(super) enum Size {
    /// A file's: always the same.
    Fixed(u32),
    /// A page's: between these.
    Between(u32, u32),
}

/// One access: what to write after the time.
pub(super) struct Exchange<'a> {
    pub(super) head: &'a [u8],
    pub(super) size: u32,
    pub(super) referer: &'a [u8],
}

const SITE: &str = "https://shop.example";
const REQUESTS: u32 = 1200;

impl Requests {
    pub(super) fn new(seed: u64) -> Requests {
        let mut draws = Draws::new(seed, u64::MAX - 1);
        let mut requests = Requests {
            popularity: Zipf::new(REQUESTS, 0.8),
            heads: Strings::default(),
            sizes: Vec::new(),
            referers: Strings::default(),
            home: Vec::new(),
        };
        for referer in
            ["-", &format!("{SITE}/"), "https://www.google.com/", "https://duckduckgo.com/"]
        {
            requests.referers.push(referer);
        }
        for _ in 0..60 {
            let referer = format!("{SITE}{}", page(&mut draws));
            requests.referers.push(&referer);
        }
        for _ in 0..REQUESTS {
            let (method, path, size) = request(&mut draws);
            let (status, size) = match draws.below(100) {
                0..84 => (if method == "POST" { 201 } else { 200 }, size),
                84..90 => (304, Size::Fixed(0)),
                90..92 => (206, size),
                92..95 => (301, Size::Fixed(169)),
                95..99 => (404, Size::Fixed(153)),
                _ => (500, Size::Fixed(579)),
            };
            let protocol = if draws.below(3) == 0 { "HTTP/1.1" } else { "HTTP/2.0" };
            requests.heads.push(&format!("\"{method} {path} {protocol}\" {status} "));
            requests.sizes.push(size);
            requests.home.push(4 + draws.below(60) as u32);
        }
        requests
    }

    #[inline]
    pub(super) fn draw(&self, draws: &mut Draws) -> Exchange<'_> {
        let index = self.popularity.draw(draws) as usize;
        let random = draws.next();
        let size = match self.sizes[index] {
            Size::Fixed(size) => size,
            Size::Between(low, high) => {
                low + (((random >> 40) * u64::from(high - low)) >> 24) as u32
            }
        };
        let referer = match random as u8 {
            0..150 => 0,
            150..170 => 1,
            170..185 => 2,
            185..190 => 3,
            _ => self.home[index] as usize,
        };
        Exchange { head: self.heads.get(index), size, referer: self.referers.get(referer) }
    }
}

const SLUGS: [&str; 24] = [
    "canoe",
    "paddle",
    "dry-bag",
    "rain-jacket",
    "headlamp",
    "tent",
    "sleeping-bag",
    "stove",
    "water-filter",
    "compass",
    "rope",
    "helmet",
    "life-vest",
    "kayak",
    "boots",
    "socks",
    "map",
    "thermos",
    "hammock",
    "lantern",
    "backpack",
    "gloves",
    "whistle",
    "first-aid-kit",
];
const TRAITS: [&str; 12] = [
    "ultralight",
    "classic",
    "two-person",
    "waterproof",
    "winter",
    "summer",
    "kids",
    "carbon",
    "recycled",
    "pro",
    "compact",
    "insulated",
];

fn pick<'a>(draws: &mut Draws, from: &[&'a str]) -> &'a str {
    from[draws.below(from.len() as u64) as usize]
}

fn page(draws: &mut Draws) -> String {
    let (slug, quality) = (pick(draws, &SLUGS), pick(draws, &TRAITS));
    match draws.below(4) {
        0 => format!("/shop/{slug}/"),
        1 => format!("/shop/{slug}/{quality}-{slug}-{}", 100 + draws.below(900)),
        2 => format!("/guides/how-to-choose-a-{quality}-{slug}"),
        _ => format!("/search?q={quality}+{slug}&page={}", 1 + draws.below(9)),
    }
}

fn request(draws: &mut Draws) -> (&'static str, String, Size) {
    let (slug, quality) = (pick(draws, &SLUGS), pick(draws, &TRAITS));
    let file = |low: u32, high: u32, draws: &mut Draws| {
        Size::Fixed(low + draws.below(u64::from(high - low)) as u32)
    };
    match draws.below(12) {
        0..4 => {
            let width = pick(draws, &["320", "640", "1280"]);
            let size = file(4_000, 180_000, draws);
            ("GET", format!("/media/products/{quality}-{slug}-{width}w.webp"), size)
        }
        4..6 => {
            let hash = draws.next() as u32;
            let kind = pick(draws, &["js", "css"]);
            let size = file(900, 90_000, draws);
            ("GET", format!("/static/{kind}/{slug}.{hash:08x}.{kind}"), size)
        }
        6 => (
            "GET",
            format!("/api/v2/stock/{slug}?sku={}", draws.below(100_000)),
            Size::Between(180, 420),
        ),
        7 => ("POST", format!("/api/v2/cart/items/{slug}"), Size::Between(90, 260)),
        _ => ("GET", page(draws), Size::Between(9_000, 42_000)),
    }
}

/// What clients call themselves, each from the space before its quote to the end of the line.
pub(super) fn user_agents(seed: u64) -> Strings {
    let mut draws = Draws::new(seed, u64::MAX - 2);
    let mut agents = Strings::default();
    let desktops =
        ["Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"];
    for _ in 0..90 {
        let chrome = 118 + draws.below(14);
        let agent = match draws.below(10) {
            0..4 => {
                let system = pick(&mut draws, &desktops);
                format!(
                    "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome}.0.0.0 Safari/537.36"
                )
            }
            4 => {
                let minor = draws.below(8);
                format!(
                    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{minor} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{minor} Mobile/15E148 Safari/604.1"
                )
            }
            5..8 => {
                let system = pick(&mut draws, &desktops);
                let firefox = 115 + draws.below(18);
                format!("Mozilla/5.0 ({system}; rv:{firefox}.0) Gecko/20100101 Firefox/{firefox}.0")
            }
            8 => pick(
                &mut draws,
                &[
                    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
                    "curl/8.5.0",
                    "python-requests/2.32.3",
                    "Go-http-client/2.0",
                ],
            )
            .to_owned(),
            _ => {
                let model = pick(&mut draws, &["Pixel 8", "SM-S921B", "SM-A546B", "K"]);
                format!(
                    "Mozilla/5.0 (Linux; Android 14; {model}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome}.0.0.0 Mobile Safari/537.36"
                )
            }
        };
        agents.push(&format!(" \"{agent}\""));
    }
    agents
}
