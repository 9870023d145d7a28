//! People, auctions and bids, and how they are drawn.

use super::schedule::{
    CATEGORIES, EventKind, FIRST_AUCTION_ID, FIRST_CATEGORY_ID, FIRST_PERSON_ID, NexmarkOptions,
};
use super::text;
use crate::generate::draw::Draws;

/// Someone who registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// From 1000 on.
    pub id: i64,
    /// First and last name.
    pub name: String,
    /// At a host that does not exist.
    pub email_address: String,
    /// Four times four digits.
    pub credit_card: String,
    /// One of ten.
    pub city: String,
    /// One of six, in two letters.
    pub state: String,
    /// When, in milliseconds since the epoch.
    pub date_time: i64,
    /// Filler.
    pub extra: String,
}

/// Something that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auction {
    /// From 1000 on.
    pub id: i64,
    /// What it is called.
    pub item_name: String,
    /// What is said about it.
    pub description: String,
    /// The least that is taken, in cents.
    pub initial_bid: i64,
    /// The price for which it is sold at once, in cents.
    pub reserve: i64,
    /// When it was offered, in milliseconds since the epoch.
    pub date_time: i64,
    /// When the auction ends, in milliseconds since the epoch.
    pub expires: i64,
    /// Who offers it: a person's id.
    pub seller: i64,
    /// From 10 to 14.
    pub category: i64,
    /// Filler.
    pub extra: String,
}

/// A bid for an auction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bid {
    /// An auction's id.
    pub auction: i64,
    /// A person's id.
    pub bidder: i64,
    /// In cents, between 100 and 100,000,000, evenly in its logarithm.
    pub price: i64,
    /// What led the bidder there.
    pub channel: String,
    /// The page that the channel leads to.
    pub url: String,
    /// When, in milliseconds since the epoch.
    pub date_time: i64,
    /// Filler.
    pub extra: String,
}

/// One of the three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NexmarkEvent {
    /// Someone registers.
    Person(Person),
    /// Someone offers something.
    Auction(Auction),
    /// Someone bids for it.
    Bid(Bid),
}

impl NexmarkEvent {
    /// What it is about.
    pub fn kind(&self) -> EventKind {
        match self {
            NexmarkEvent::Person(_) => EventKind::Person,
            NexmarkEvent::Auction(_) => EventKind::Auction,
            NexmarkEvent::Bid(_) => EventKind::Bid,
        }
    }

    /// When it happened, in milliseconds since the epoch.
    pub fn date_time(&self) -> i64 {
        match self {
            NexmarkEvent::Person(person) => person.date_time,
            NexmarkEvent::Auction(auction) => auction.date_time,
            NexmarkEvent::Bid(bid) => bid.date_time,
        }
    }
}

/// Makes events by their position.
#[derive(Debug, Clone)]
pub struct NexmarkGenerator {
    options: NexmarkOptions,
}

impl NexmarkGenerator {
    /// Numbers in `options` that must not be 0 count as 1.
    pub fn new(options: NexmarkOptions) -> NexmarkGenerator {
        let options = NexmarkOptions {
            persons: options.persons.max(1),
            auctions: options.auctions.max(1),
            hot_auction_ratio: options.hot_auction_ratio.max(1),
            hot_bidder_ratio: options.hot_bidder_ratio.max(1),
            hot_seller_ratio: options.hot_seller_ratio.max(1),
            ..options
        };
        NexmarkGenerator { options }
    }

    /// The event at this position of the stream, from 0 on: always the same.
    pub fn event(&self, position: u64) -> NexmarkEvent {
        let id = self.options.event_id(position);
        let mut draws = Draws::new(self.options.seed, id);
        match self.options.kind(id) {
            EventKind::Person => NexmarkEvent::Person(self.person(id, &mut draws)),
            EventKind::Auction => NexmarkEvent::Auction(self.auction(id, &mut draws)),
            EventKind::Bid => NexmarkEvent::Bid(self.bid(id, &mut draws)),
        }
    }

    fn person(&self, id: u64, draws: &mut Draws) -> Person {
        let mut person = Person {
            id: FIRST_PERSON_ID + self.options.newest_person(id),
            name: text::person_name(draws),
            email_address: text::email_address(draws),
            credit_card: text::credit_card(draws),
            city: text::city(draws).to_owned(),
            state: text::state(draws).to_owned(),
            date_time: self.options.time(id),
            extra: String::new(),
        };
        let texts =
            [&person.name, &person.email_address, &person.credit_card, &person.city, &person.state];
        let size = 8 + texts.map(String::len).iter().sum::<usize>();
        person.extra = text::extra(size, self.options.person_size, draws);
        person
    }

    fn auction(&self, id: u64, draws: &mut Draws) -> Auction {
        let options = &self.options;
        let seller = if draws.below(options.hot_seller_ratio) > 0 {
            options.hot_person(id)
        } else {
            between(options.active_people(id), draws)
        };
        let date_time = options.time(id);
        let length = 1 + draws.below((2 * options.average_auction_ms(id)).max(1) as u64) as i64;
        let category = FIRST_CATEGORY_ID + draws.below(CATEGORIES) as i64;
        let initial_bid = price(draws);
        let item_name = text::words(20, ' ', draws);
        let description = text::words(100, ' ', draws);
        let size = 6 * 8 + item_name.len() + description.len();
        Auction {
            id: FIRST_AUCTION_ID + options.newest_auction(id),
            item_name,
            description,
            initial_bid,
            reserve: initial_bid + price(draws),
            date_time,
            expires: date_time + length,
            seller: FIRST_PERSON_ID + seller,
            category,
            extra: text::extra(size, options.auction_size, draws),
        }
    }

    fn bid(&self, id: u64, draws: &mut Draws) -> Bid {
        let options = &self.options;
        let auction = if draws.below(options.hot_auction_ratio) > 0 {
            options.hot_auction(id)
        } else {
            between(options.open_auctions(id), draws)
        };
        let bidder = if draws.below(options.hot_bidder_ratio) > 0 {
            options.hot_person(id) + 1
        } else {
            between(options.active_people(id), draws)
        };
        let price = price(draws);
        let (channel, url) = text::channel_and_url(draws);
        Bid {
            auction: FIRST_AUCTION_ID + auction,
            bidder: FIRST_PERSON_ID + bidder,
            price,
            channel,
            url,
            date_time: options.time(id),
            extra: text::extra(4 * 8, options.bid_size, draws),
        }
    }
}

fn between((from, to): (i64, i64), draws: &mut Draws) -> i64 {
    from + draws.below((to - from) as u64) as i64
}

/// Cents from 1 to 1,000,000 of the currency, evenly in the logarithm.
fn price(draws: &mut Draws) -> i64 {
    let fraction = (draws.next() >> 11) as f64 / (1u64 << 53) as f64;
    (10f64.powf(6.0 * fraction) * 100.0).round() as i64
}
