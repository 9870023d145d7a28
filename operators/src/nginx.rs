//! nginx access logs: the `combined` and `common` formats.
//!
//! ```text
//! 83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 2326 "http://a.example/" "Mozilla/5.0"
//! └─ host       │ └ user  └─ time, with its zone  └─ request       └ status │  └─ referer        └─ user agent
//!               └ ident                                                      └ bytes       (these two: combined only)
//! ```
//!
//! A line goes one of three ways, each decoding no more than its reader asks for:
//!
//! - `line`: [`parse`] and [`LineParser`] borrow the fields of one line; nothing is copied. [`time`] turns the
//!   timestamp into milliseconds since the epoch, `scan` finds where fields end.
//! - `row`: [`Access`] and [`AccessHit`], owned rows for the typed DSL.
//! - `columns`: [`NginxColumns`] writes the wanted fields of many lines straight into Arrow columns.
//!
//! What is broken is rejected with an [`NginxError`] that says what is wrong and at which byte; nothing is
//! guessed. In particular a line that was cut short, or onto whose rest another line was written, does not parse.

mod columns;
mod error;
mod line;
mod row;
mod scan;
mod text;
pub mod time;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use columns::{NginxColumns, UnknownColumn};
pub use error::{NginxError, Reason};
pub use line::{AccessLine, LineParser, parse, parse_host_and_time};
pub use row::{Access, AccessHit, Request};
pub(crate) use text::{present, text};
