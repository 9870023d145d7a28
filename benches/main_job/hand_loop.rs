//! The reference: what one would write by hand for this one question, without log, checkpoints or operators.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::Path;

use hashbrown::{Equivalent, HashMap};

/// Counts requests per (IP, five seconds) in a file and returns a checksum over all results.
pub fn count(path: &Path) -> anyhow::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0u8; 1 << 20];
    let mut filled = 0;
    let mut counts: Counts = HashMap::default();
    loop {
        let read = file.read(&mut buffer[filled..])?;
        filled += read;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &buffer[..filled]) {
            if let Some((ip, window)) = parse(&buffer[start..end]) {
                match counts.get_mut(&Borrowed { ip, window }) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(Key { ip: ip.into(), window }, 1)),
                }
            }
            start = end + 1;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if read == 0 {
            break;
        }
    }
    let results =
        counts.iter().map(|(key, count)| super::job::result_hash(&key.ip, key.window, *count));
    Ok(results.fold(0, u64::wrapping_add))
}

type Counts = HashMap<Key, u64, foldhash::fast::FixedState>;

#[derive(PartialEq, Eq)]
struct Key {
    ip: Box<[u8]>,
    window: i64,
}

struct Borrowed<'a> {
    ip: &'a [u8],
    window: i64,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&*self.ip, self.window).hash(state);
    }
}

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.ip, self.window).hash(state);
    }
}

impl Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.window == key.window && *self.ip == *key.ip
    }
}

/// `1.2.3.4 - - [17/May/2015:10:05:03 +0000] ...` -> the address and the start of its window in seconds.
fn parse(line: &[u8]) -> Option<(&[u8], i64)> {
    let ip = &line[..memchr::memchr(b' ', line)?];
    let open = memchr::memchr(b'[', line)?;
    let time = line.get(open + 1..open + 27)?;
    let digits = |from: usize, to: usize| {
        time[from..to].iter().fold(0i64, |n, digit| n * 10 + i64::from(digit.wrapping_sub(b'0')))
    };
    let month = match &time[3..6] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    // Days since 1970, after Howard Hinnant's `days_from_civil`.
    let (day, year) = (digits(0, 2), digits(7, 11) - i64::from(month <= 2));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100
        + day_of_year
        - 719_468;
    let offset = digits(22, 24) * 3600 + digits(24, 26) * 60;
    let offset = if time[21] == b'-' { -offset } else { offset };
    let seconds =
        days * 86_400 + digits(12, 14) * 3600 + digits(15, 17) * 60 + digits(18, 20) - offset;
    Some((ip, seconds.div_euclid(5) * 5))
}
