//! Seeded generators: input for demos, tests and benchmarks, the same for the same seed, with the truth at hand.
//!
//! Line *i* of an [`AccessLogGenerator`], and event *i* of a [`NexmarkGenerator`], depends on nothing but the options and *i*. So a reader can go back to any line
//! without generating those before it, and a test can ask for the truth about a line ([`AccessLogGenerator::event`])
//! without parsing it.
//!
//! - `access_log`: the lines of an access log.
//! - `vocabulary`: what they are made of, rendered once.
//! - `nexmark`: people, auctions and bids of the Nexmark benchmark.
//! - `draw`: random numbers by index, and a zipf distribution in constant time.

mod access_log;
mod draw;
mod nexmark;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use access_log::{AccessLogGenerator, Event, GeneratorOptions, LineFormat, UnknownFormat};
pub use nexmark::{
    Auction, Bid, EventKind, NexmarkColumns, NexmarkEvent, NexmarkGenerator, NexmarkOptions,
    Person, auction_schema, bid_schema, person_schema, side_input_row,
};
