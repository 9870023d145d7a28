//! Why a line is not an access-log line.

use std::fmt;

/// A line that is neither in the combined nor in the common format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {at})")]
pub struct NginxError {
    /// What is wrong.
    pub reason: Reason,
    /// Where: an offset in bytes from the start of the line; the length of the line where it ends too early.
    pub at: usize,
}

impl NginxError {
    #[cold]
    pub(super) fn new(reason: Reason, at: usize) -> NginxError {
        NginxError { reason, at }
    }
}

/// What is wrong with a line, in the order in which the fields are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is there (or only a carriage return).
    Empty,
    /// The host is missing, holds a byte that is not printable ASCII, or is not followed by a space.
    Host,
    /// The identity or the user is missing, or no `[` follows them.
    User,
    /// Not of the form `[17/May/2015:10:05:03 +0000]`, or no such date.
    Time,
    /// The request does not begin with a quote.
    Request,
    /// The request's closing quote is missing.
    RequestQuote,
    /// The status is not three digits between spaces.
    Status,
    /// The size is neither `-` nor digits, does not fit 64 bits, or is not followed by a space or the end.
    Bytes,
    /// The referer does not begin with a quote.
    Referer,
    /// The referer's closing quote is missing.
    RefererQuote,
    /// The user agent is missing or does not begin with a quote.
    UserAgent,
    /// The user agent's closing quote is missing: the line was probably cut.
    UserAgentQuote,
    /// More follows after the user agent: the line is in some other format.
    Trailing,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Empty => "the line is empty",
            Reason::Host => "no host at the start of the line",
            Reason::User => "no identity and user between the host and the time",
            Reason::Time => "no time like [17/May/2015:10:05:03 +0000]",
            Reason::Request => "no quoted request after the time",
            Reason::RequestQuote => "the request's closing quote is missing",
            Reason::Status => "no status of three digits after the request",
            Reason::Bytes => "no size in bytes (digits or -) after the status",
            Reason::Referer => "no quoted referer after the size",
            Reason::RefererQuote => "the referer's closing quote is missing",
            Reason::UserAgent => "no quoted user agent after the referer",
            Reason::UserAgentQuote => "the user agent's closing quote is missing",
            Reason::Trailing => "more follows after the user agent",
        })
    }
}
