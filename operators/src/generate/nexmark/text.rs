//! Names, addresses and filler.

use crate::generate::draw::Draws;

// Three of the six states are those that query 3 looks for.
const STATES: [&str; 6] = ["CA", "ID", "MT", "NV", "OR", "UT"];
const CITIES: [&str; 10] = [
    "Astoria",
    "Bozeman",
    "Carson City",
    "Coeur d Alene",
    "Eugene",
    "Fresno",
    "Helena",
    "Logan",
    "Reno",
    "Santa Cruz",
];
const FIRST_NAMES: [&str; 12] = [
    "Ada", "Bruno", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira",
    "Lars",
];
const LAST_NAMES: [&str; 10] = [
    "Almeida", "Bianchi", "Costa", "Dahl", "Eriksen", "Fischer", "Garcia", "Haas", "Ito", "Jansen",
];

/// Channels that get half of all bids, in the spelling that query 21 lowers.
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// How many other channels there are.
const CHANNELS: u64 = 10_000;
/// Apart from the seeds of events, which begin at the caller's: what is drawn for a channel depends on its number only.
const CHANNEL_SEED: u64 = 0x6e65_786d_6172_6b21;

fn one_of<'a>(words: &[&'a str], draws: &mut Draws) -> &'a str {
    words[draws.below(words.len() as u64) as usize]
}

pub(super) fn state(draws: &mut Draws) -> &'static str {
    one_of(&STATES, draws)
}

pub(super) fn city(draws: &mut Draws) -> &'static str {
    one_of(&CITIES, draws)
}

pub(super) fn person_name(draws: &mut Draws) -> String {
    format!("{} {}", one_of(&FIRST_NAMES, draws), one_of(&LAST_NAMES, draws))
}

pub(super) fn email_address(draws: &mut Draws) -> String {
    let (user, host) = (3 + draws.below(4), 3 + draws.below(2));
    format!("{}@{}.example", filler(user as usize, draws), filler(host as usize, draws))
}

pub(super) fn credit_card(draws: &mut Draws) -> String {
    let digits = draws.below(10_000_000_000_000_000);
    format!(
        "{:04} {:04} {:04} {:04}",
        digits / 1_000_000_000_000,
        digits / 100_000_000 % 10_000,
        digits / 10_000 % 10_000,
        digits % 10_000
    )
}

/// 3 to `longest - 1` letters; one in thirteen, but not the first and not the last, is a `gap` instead.
pub(super) fn words(longest: u64, gap: char, draws: &mut Draws) -> String {
    let letters = filler(3 + draws.below(longest - 3) as usize, draws);
    let inner = 1..letters.len() - 1;
    let with_gaps = letters
        .char_indices()
        .map(|(at, letter)| if inner.contains(&at) && draws.below(13) == 0 { gap } else { letter });
    with_gaps.collect()
}

/// Letters that fill a record of so many bytes up to an average size, a fifth more or less; none if it is larger already.
pub(super) fn extra(size: usize, average: usize, draws: &mut Draws) -> String {
    let Some(missing) = average.checked_sub(size) else { return String::new() };
    let spread = (missing as u64 + 2) / 5;
    let least = missing - spread as usize;
    let length = least + if spread == 0 { 0 } else { draws.below(2 * spread) as usize };
    filler(length, draws)
}

fn filler(length: usize, draws: &mut Draws) -> String {
    let mut text = String::with_capacity(length);
    push_letters(&mut text, length, draws);
    text
}

fn push_letters(text: &mut String, length: usize, draws: &mut Draws) {
    let (mut random, mut left) = (0, 0);
    for _ in 0..length {
        if left == 0 {
            // 26^13 is just below 2^62.
            (random, left) = (draws.next() >> 2, 13);
        }
        text.push(char::from(b'a' + (random % 26) as u8));
        random /= 26;
        left -= 1;
    }
}

/// A channel, and the page that it leads to.
pub(super) fn channel_and_url(draws: &mut Draws) -> (String, String) {
    if draws.below(2) > 0 {
        let hot = draws.below(HOT_CHANNELS.len() as u64);
        (HOT_CHANNELS[hot as usize].to_owned(), url(&mut Draws::new(CHANNEL_SEED, CHANNELS + hot)))
    } else {
        let number = draws.below(CHANNELS);
        let mut own = Draws::new(CHANNEL_SEED, number);
        let mut url = url(&mut own);
        if own.below(10) > 0 {
            let id = (number as u32).reverse_bits() & 0x7fff_ffff;
            url.push_str(&format!("&channel_id={id}"));
        }
        (format!("channel-{number}"), url)
    }
}

fn url(draws: &mut Draws) -> String {
    let mut folder = || words(5, '_', draws);
    format!("https://auctions.example/{}/{}/{}/item.htm?query=1", folder(), folder(), folder())
}
