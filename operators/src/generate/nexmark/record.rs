//! Events as JSON and CSV.
//!
//! Texts of a generated event are letters, digits and a few marks that neither format has to escape, so they are
//! written as they are; a test reads everything back with a real parser.

use super::event::{Auction, Bid, NexmarkEvent, Person};
use super::schedule::EventKind;
use crate::format::write_integer;

impl NexmarkEvent {
    /// Appends the combined record, one JSON object without a line end: `event_type`, and `person`, `auction` and `bid`, of
    /// which one is an object and the others are null.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"event_type\":");
        write_integer(self.kind() as i64, out);
        for kind in EventKind::ALL {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(kind.name().as_bytes());
            out.extend_from_slice(b"\":");
            if kind == self.kind() {
                self.write_json_row(out);
            } else {
                out.extend_from_slice(b"null");
            }
        }
        out.push(b'}');
    }

    /// Appends the event alone as one JSON object without a line end, for a table of its kind.
    pub fn write_json_row(&self, out: &mut Vec<u8>) {
        self.write_fields(&mut JsonRow { out, first: true });
        out.push(b'}');
    }

    /// Appends the event alone as comma-separated values without a line end, for a table of its kind.
    pub fn write_csv_row(&self, out: &mut Vec<u8>) {
        self.write_fields(&mut CsvRow { out, first: true });
    }

    fn write_fields(&self, row: &mut impl Row) {
        match self {
            NexmarkEvent::Person(Person {
                id,
                name,
                email_address,
                credit_card,
                city,
                state,
                date_time,
                extra,
            }) => {
                row.integer("id", *id);
                row.text("name", name);
                row.text("emailAddress", email_address);
                row.text("creditCard", credit_card);
                row.text("city", city);
                row.text("state", state);
                row.time("dateTime", *date_time);
                row.text("extra", extra);
            }
            NexmarkEvent::Auction(Auction {
                id,
                item_name,
                description,
                initial_bid,
                reserve,
                date_time,
                expires,
                seller,
                category,
                extra,
            }) => {
                row.integer("id", *id);
                row.text("itemName", item_name);
                row.text("description", description);
                row.integer("initialBid", *initial_bid);
                row.integer("reserve", *reserve);
                row.time("dateTime", *date_time);
                row.time("expires", *expires);
                row.integer("seller", *seller);
                row.integer("category", *category);
                row.text("extra", extra);
            }
            NexmarkEvent::Bid(Bid { auction, bidder, price, channel, url, date_time, extra }) => {
                row.integer("auction", *auction);
                row.integer("bidder", *bidder);
                row.integer("price", *price);
                row.text("channel", channel);
                row.text("url", url);
                row.time("dateTime", *date_time);
                row.text("extra", extra);
            }
        }
    }
}

/// Appends a row of the bounded table that query 13 looks keys up in, `key,value`, without a line end. It has ten thousand, from 0 on.
pub fn side_input_row(key: u32, out: &mut Vec<u8>) {
    write_integer(i64::from(key), out);
    out.extend_from_slice(b",value ");
    write_integer(i64::from(key), out);
}

trait Row {
    fn field(&mut self, name: &str) -> &mut Vec<u8>;
    fn integer(&mut self, name: &str, value: i64) {
        write_integer(value, self.field(name));
    }
    fn text(&mut self, name: &str, value: &str);
    fn time(&mut self, name: &str, value: i64);
}

struct JsonRow<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Row for JsonRow<'_> {
    fn field(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.first { b"{\"" } else { b",\"" });
        self.first = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(&mut self, name: &str, value: &str) {
        let out = self.field(name);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    }

    fn time(&mut self, name: &str, value: i64) {
        let out = self.field(name);
        out.push(b'"');
        push_time(value, out);
        out.push(b'"');
    }
}

struct CsvRow<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Row for CsvRow<'_> {
    fn field(&mut self, _name: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out
    }

    fn text(&mut self, name: &str, value: &str) {
        self.field(name).extend_from_slice(value.as_bytes());
    }

    fn time(&mut self, name: &str, value: i64) {
        push_time(value, self.field(name));
    }
}

/// `2015-07-15 00:00:00.000`, the form that SQL's formats read by default; in UTC.
fn push_time(ms: i64, out: &mut Vec<u8>) {
    let (day, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days are counted in eras of 400 years that begin on 1 March, so that leap days come last.
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    push_digits(year, 4, out);
    for (value, digits, mark) in [
        (month, 2, b'-'),
        (day_of_month, 2, b'-'),
        (of_day / 3_600_000, 2, b' '),
        (of_day / 60_000 % 60, 2, b':'),
        (of_day / 1000 % 60, 2, b':'),
        (of_day % 1000, 3, b'.'),
    ] {
        out.push(mark);
        push_digits(value, digits, out);
    }
}

fn push_digits(value: i64, digits: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + digits, b'0');
    let mut left = value;
    for digit in out[at..].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}
