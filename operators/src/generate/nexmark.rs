//! The auction house of the Nexmark benchmark: people, auctions and bids.
//!
//! ```text
//! event id     0        1 2 3          4 ... 49        50        51 ...
//!              person   three auctions 46 bids         person    auctions ...
//! ```
//!
//! The parameters are the benchmark's own ([`NexmarkOptions`]): of fifty events one is a person, three are auctions and 46 are bids; half
//! of the bids are for the newest *hot* auction, three quarters of them are made by the newest hot bidder, and three quarters of the
//! auctions are those of the newest hot seller. The words that texts are made of are ours.
//!
//! [`NexmarkGenerator::event`] is a function of options and position alone. So input can be split among writers, resumed
//! anywhere and made again, and nothing has to be remembered in between.
//!
//! - `schedule`: which event stands at a position, when it happens, and which ids are in play then.
//! - `event`: [`Person`], [`Auction`], [`Bid`], and how they are drawn.
//! - `text`: names, addresses and filler.
//! - `record`: events as JSON and CSV.
//! - `columns`: events as Arrow columns, a batch a kind.

mod columns;
mod event;
mod record;
mod schedule;
mod text;

#[cfg(test)]
mod tests;

pub use columns::{NexmarkColumns, auction_schema, bid_schema, person_schema};
pub use event::{Auction, Bid, NexmarkEvent, NexmarkGenerator, Person};
pub use record::side_input_row;
pub use schedule::{EventKind, NexmarkOptions};
