//! Which event stands at a position, when it happens, and which ids are in play then.

/// Ids begin here, so that ids and counts cannot be mistaken for each other.
pub(super) const FIRST_PERSON_ID: i64 = 1000;
pub(super) const FIRST_AUCTION_ID: i64 = 1000;
pub(super) const FIRST_CATEGORY_ID: i64 = 10;
/// How many categories there are.
pub(super) const CATEGORIES: u64 = 5;
/// Of so many people (auctions) in a row, one is the hot one.
const HOT_GROUP: i64 = 100;
/// How many ids that are not given out yet may be named: some bids arrive before their auction, as on a real network.
const ID_LEAD: i64 = 10;
/// With which out-of-order groups are shuffled: prime, so that it visits every place of any group but its own multiples.
const SHUFFLE: u64 = 953;

/// What the generated stream looks like. The defaults are the benchmark's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NexmarkOptions {
    /// The same seed (and the same other options) gives the same events.
    pub seed: u64,
    /// Events per second of event time; at least one.
    pub events_per_second: u64,
    /// When the first event happens, in milliseconds since 1970-01-01T00:00:00Z.
    pub base_time_ms: i64,
    /// Of `persons + auctions + bids` events in a row so many are people; at least one.
    pub persons: u64,
    /// ... so many are auctions; at least one.
    pub auctions: u64,
    /// ... and so many are bids.
    pub bids: u64,
    /// One in so many bids is *not* for the hot auction; at least one.
    pub hot_auction_ratio: u64,
    /// One in so many bids is *not* by the hot bidder; at least one.
    pub hot_bidder_ratio: u64,
    /// One in so many auctions is *not* by the hot seller; at least one.
    pub hot_seller_ratio: u64,
    /// How many of the newest people sell and bid.
    pub active_people: u64,
    /// How many of the newest auctions get bids; how long an auction lasts follows from it.
    pub auctions_in_flight: u64,
    /// Average size of a person in bytes, its filler included.
    pub person_size: usize,
    /// Average size of an auction in bytes, its filler included.
    pub auction_size: usize,
    /// Average size of a bid in bytes, its filler (but not channel and URL) included.
    pub bid_size: usize,
    /// Events are shuffled within groups of so many; 1 is in order. Not a multiple of 953.
    pub out_of_order_group: u64,
}

impl Default for NexmarkOptions {
    fn default() -> NexmarkOptions {
        NexmarkOptions {
            seed: 0,
            events_per_second: 10_000,
            base_time_ms: 1_436_918_400_000,
            persons: 1,
            auctions: 3,
            bids: 46,
            hot_auction_ratio: 2,
            hot_bidder_ratio: 4,
            hot_seller_ratio: 4,
            active_people: 1000,
            auctions_in_flight: 100,
            person_size: 200,
            auction_size: 500,
            bid_size: 100,
            out_of_order_group: 1,
        }
    }
}

/// What an event is about; the numbers are those of the benchmark's column `event_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Someone registers.
    Person = 0,
    /// Someone offers something.
    Auction = 1,
    /// Someone bids for it.
    Bid = 2,
}

impl EventKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [EventKind; 3] = [EventKind::Person, EventKind::Auction, EventKind::Bid];

    /// `person`, `auction` or `bid`: the name of the column in the combined record, and of the kind's own table.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Person => "person",
            EventKind::Auction => "auction",
            EventKind::Bid => "bid",
        }
    }
}

impl NexmarkOptions {
    /// How many events make one round of people, auctions and bids.
    fn round(&self) -> u64 {
        self.persons + self.auctions + self.bids
    }

    /// The id of the event at this position of the stream; the two differ only within an out-of-order group.
    pub(super) fn event_id(&self, position: u64) -> u64 {
        let group = self.out_of_order_group.max(1);
        position / group * group + (position.wrapping_mul(SHUFFLE)) % group
    }

    /// When an event happens, in milliseconds since the epoch.
    pub(super) fn time(&self, event_id: u64) -> i64 {
        let passed = u128::from(event_id) * 1000 / u128::from(self.events_per_second.max(1));
        self.base_time_ms + passed as i64
    }

    /// What an event is about.
    pub(super) fn kind(&self, event_id: u64) -> EventKind {
        let place = event_id % self.round();
        if place < self.persons {
            EventKind::Person
        } else if place < self.persons + self.auctions {
            EventKind::Auction
        } else {
            EventKind::Bid
        }
    }

    /// The newest person as of an event, counted from 0: its own, if it is one.
    pub(super) fn newest_person(&self, event_id: u64) -> i64 {
        let (round, place) = (event_id / self.round(), event_id % self.round());
        (round * self.persons + place.min(self.persons - 1)) as i64
    }

    /// The newest auction as of an event, counted from 0: its own, if it is one. -1 before the first.
    pub(super) fn newest_auction(&self, event_id: u64) -> i64 {
        let (round, place) = (event_id / self.round(), event_id % self.round());
        let so_far = place.saturating_sub(self.persons - 1).min(self.auctions);
        (round * self.auctions + so_far) as i64 - 1
    }

    /// The hot seller as of an event, counted from 0. (The one after it is the hot bidder, so that the two never meet.)
    pub(super) fn hot_person(&self, event_id: u64) -> i64 {
        self.newest_person(event_id) / HOT_GROUP * HOT_GROUP
    }

    /// The hot auction as of an event, counted from 0.
    pub(super) fn hot_auction(&self, event_id: u64) -> i64 {
        self.newest_auction(event_id).max(0) / HOT_GROUP * HOT_GROUP
    }

    /// From which person (counted from 0) to which, exclusive, sellers and bidders are drawn that are not hot.
    pub(super) fn active_people(&self, event_id: u64) -> (i64, i64) {
        let people = self.newest_person(event_id) + 1;
        (people - people.min(self.active_people as i64), people + ID_LEAD)
    }

    /// From which auction (counted from 0) to which, exclusive, bids are drawn that are not for the hot one.
    pub(super) fn open_auctions(&self, event_id: u64) -> (i64, i64) {
        let newest = self.newest_auction(event_id);
        ((newest - self.auctions_in_flight as i64).max(0), newest + 1 + ID_LEAD)
    }

    /// The average length of an auction that begins with this event, in milliseconds: as long as it takes to open as many as
    /// are in flight.
    pub(super) fn average_auction_ms(&self, event_id: u64) -> i64 {
        let events = self.auctions_in_flight * self.round() / self.auctions.max(1);
        self.time(event_id + events) - self.time(event_id)
    }
}
