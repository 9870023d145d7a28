//! One line, its fields borrowed.

use memchr::memchr2;

use super::error::{NginxError, Reason};
use super::scan::{not_graphic, quote_or_backslash};
use super::time::{TIME_LEN, TimeCache, parse_time, write_time};

/// The fields of one access-log line, as they stand in it: escapes are not resolved, and a field that nginx had
/// nothing for is `-`. Only the host is known to be ASCII; the others may hold any byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessLine<'a> {
    /// Who asked: an IPv4 or IPv6 address or a name. Printable ASCII, never empty.
    pub host: &'a [u8],
    /// The identity (RFC 1413); nginx always writes `-`.
    pub ident: &'a [u8],
    /// The user of basic authentication, or `-`. May hold spaces, but no `[` and no quote.
    pub user: &'a [u8],
    /// When, in milliseconds since 1970-01-01T00:00:00Z. The zone of the line is taken into account.
    pub time_ms: i64,
    /// The request line, usually `GET /path HTTP/1.1`; what broken clients send may be anything, also nothing.
    pub request: &'a [u8],
    /// The status of the response, 0 to 999.
    pub status: u16,
    /// Size of the response in bytes; `None` for `-`.
    pub bytes: Option<u64>,
    /// The referer; `None` in the common format.
    pub referer: Option<&'a [u8]>,
    /// The user agent; `None` in the common format.
    pub user_agent: Option<&'a [u8]>,
}

/// Parses one line, without its newline. A carriage return at its end is tolerated.
///
/// For many lines, a [`LineParser`] is faster.
///
/// # Errors
/// [`NginxError`] if the line is neither in the combined nor in the common format.
///
/// ```
/// use riverrun_operators::nginx::{parse, Reason};
///
/// let line = br#"::1 - - [17/May/2015:10:05:03 +0000] "GET /a\"b HTTP/1.1" 200 - "-" "curl/8.5.0""#;
/// let access = parse(line)?;
/// assert_eq!(access.host, b"::1");
/// assert_eq!(access.request, br#"GET /a\"b HTTP/1.1"#);
/// assert_eq!((access.status, access.bytes), (200, None));
///
/// let cut = &line[..line.len() - 1];
/// assert_eq!(parse(cut).unwrap_err().reason, Reason::UserAgentQuote);
/// # Ok::<(), riverrun_operators::nginx::NginxError>(())
/// ```
pub fn parse(line: &[u8]) -> Result<AccessLine<'_>, NginxError> {
    fields(line, parse_time)
}

/// Parses one line and returns only its host and its time (milliseconds since the epoch).
///
/// # Errors
/// Exactly those of [`parse`]: all of the line is checked.
pub fn parse_host_and_time(line: &[u8]) -> Result<(&[u8], i64), NginxError> {
    let AccessLine { host, time_ms, .. } = fields(line, parse_time)?;
    Ok((host, time_ms))
}

/// Parses many lines: [`parse`] and [`parse_host_and_time`] with a memory of the hour that the last line was in.
///
/// ```
/// let mut parser = riverrun_operators::nginx::LineParser::default();
/// let line = br#"a.example - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 304 0"#;
/// assert_eq!(parser.parse_host_and_time(line)?, (&b"a.example"[..], 1_431_857_103_000));
/// # Ok::<(), riverrun_operators::nginx::NginxError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LineParser {
    times: TimeCache,
}

impl LineParser {
    /// See [`parse`].
    ///
    /// # Errors
    /// Those of [`parse`].
    #[inline]
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Result<AccessLine<'a>, NginxError> {
        fields(line, |text| self.times.parse(text))
    }

    /// See [`parse_host_and_time`].
    ///
    /// # Errors
    /// Those of [`parse`].
    #[inline]
    pub fn parse_host_and_time<'a>(
        &mut self,
        line: &'a [u8],
    ) -> Result<(&'a [u8], i64), NginxError> {
        let AccessLine { host, time_ms, .. } = fields(line, |text| self.times.parse(text))?;
        Ok((host, time_ms))
    }
}

impl AccessLine<'_> {
    /// Appends the line that these fields were read from, in the zone UTC and without a newline: combined if there is a
    /// referer or a user agent, else common.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for field in [self.host, self.ident, self.user] {
            out.extend_from_slice(field);
            out.push(b' ');
        }
        out.push(b'[');
        write_time(self.time_ms, 0, out);
        out.extend_from_slice(b"] \"");
        out.extend_from_slice(self.request);
        out.extend_from_slice(b"\" ");
        out.extend_from_slice(format!("{:03} ", self.status).as_bytes());
        match self.bytes {
            Some(bytes) => out.extend_from_slice(bytes.to_string().as_bytes()),
            None => out.push(b'-'),
        }
        if self.referer.is_some() || self.user_agent.is_some() {
            for field in [self.referer, self.user_agent] {
                out.extend_from_slice(b" \"");
                out.extend_from_slice(field.unwrap_or(b"-"));
                out.push(b'"');
            }
        }
    }
}

/// The parser. Inlined into each of its callers, so that what a caller drops is not computed and yet all of them agree
/// about which lines are good.
#[inline(always)]
fn fields<'a>(
    line: &'a [u8],
    time: impl FnOnce(&[u8; TIME_LEN]) -> Option<i64>,
) -> Result<AccessLine<'a>, NginxError> {
    let line = match line {
        [rest @ .., b'\r'] => rest,
        whole => whole,
    };
    if line.is_empty() {
        return Err(NginxError::new(Reason::Empty, 0));
    }

    let host_end = host_end(line).ok_or(NginxError::new(Reason::Host, 0))?;
    let (ident, user, time_start) = if line[host_end..].starts_with(b" - - [") {
        (host_end + 1..host_end + 2, host_end + 3..host_end + 4, host_end + 6)
    } else {
        names(line, host_end + 1)?
    };

    let time_end = time_start + TIME_LEN;
    let time_ms = match line.get(time_start..).and_then(<[u8]>::first_chunk) {
        Some(text) => time(text),
        None => None,
    };
    let Some(time_ms) = time_ms else {
        return Err(NginxError::new(Reason::Time, time_start));
    };
    if line.get(time_end) != Some(&b']') {
        return Err(NginxError::new(Reason::Time, time_start));
    }

    let request_start = time_end + 3;
    if !line[time_end + 1..].starts_with(b" \"") {
        return Err(NginxError::new(Reason::Request, time_end + 1));
    }
    let Some(request_end) = closing_quote(line, request_start) else {
        return Err(NginxError::new(Reason::RequestQuote, line.len()));
    };

    let status_start = request_end + 2;
    let status = match line[request_end + 1..] {
        [b' ', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(NginxError::new(Reason::Status, status_start.min(line.len()))),
    };

    let bytes_start = status_start + 4;
    let (bytes, bytes_end) =
        size(line, bytes_start).ok_or(NginxError::new(Reason::Bytes, bytes_start))?;
    let mut access = AccessLine {
        host: &line[..host_end],
        ident: &line[ident],
        user: &line[user],
        time_ms,
        request: &line[request_start..request_end],
        status,
        bytes,
        referer: None,
        user_agent: None,
    };
    if bytes_end == line.len() {
        return Ok(access);
    }

    if !line[bytes_end..].starts_with(b" \"") {
        let reason = if line[bytes_end] == b' ' { Reason::Referer } else { Reason::Bytes };
        return Err(NginxError::new(reason, bytes_end));
    }
    let referer_start = bytes_end + 2;
    let Some(referer_end) = closing_quote(line, referer_start) else {
        return Err(NginxError::new(Reason::RefererQuote, line.len()));
    };
    if !line[referer_end + 1..].starts_with(b" \"") {
        return Err(NginxError::new(Reason::UserAgent, referer_end + 1));
    }
    let agent_start = referer_end + 3;
    let Some(agent_end) = closing_quote(line, agent_start) else {
        return Err(NginxError::new(Reason::UserAgentQuote, line.len()));
    };
    if agent_end + 1 != line.len() {
        return Err(NginxError::new(Reason::Trailing, agent_end + 1));
    }
    access.referer = Some(&line[referer_start..referer_end]);
    access.user_agent = Some(&line[agent_start..agent_end]);
    Ok(access)
}

/// Where the host ends: at the first space, before which there are only printable ASCII characters, at least one.
#[inline]
fn host_end(line: &[u8]) -> Option<usize> {
    let end = not_graphic(line)?;
    (end > 0 && line[end] == b' ').then_some(end)
}

type Span = std::ops::Range<usize>;

/// Identity, user and the start of the time, where they are not the usual `- - [`.
#[cold]
fn names(line: &[u8], start: usize) -> Result<(Span, Span, usize), NginxError> {
    let missing = NginxError::new(Reason::User, start.min(line.len()));
    let rest = line.get(start..).ok_or(missing)?;
    // A `[` or a quote in a user name would make a line that was cut here and continued by another look whole.
    let bracket = memchr2(b'[', b'"', rest).filter(|&at| rest[at] == b'[').ok_or(missing)?;
    let [names @ .., b' '] = &rest[..bracket] else { return Err(missing) };
    let space = memchr::memchr(b' ', names).ok_or(missing)?;
    if space == 0 || space + 1 == names.len() {
        return Err(missing);
    }
    let user = start + space + 1..start + names.len();
    Ok((start..start + space, user, start + bracket + 1))
}

/// The first quote at or after `from` that no backslash escapes.
#[inline(always)]
fn closing_quote(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at = quote_or_backslash(line, at)?;
        if line[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The size in bytes that begins at `start`, and where it ends.
#[inline]
fn size(line: &[u8], start: usize) -> Option<(Option<u64>, usize)> {
    if line.get(start) == Some(&b'-') {
        return Some((None, start + 1));
    }
    let mut value = 0u64;
    let mut at = start;
    while let Some(digit) = line.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&d| d <= 9) {
        // Eighteen digits always fit; more than that are worth the check.
        value = if at - start < 18 {
            value * 10 + u64::from(digit)
        } else {
            value.checked_mul(10)?.checked_add(u64::from(digit))?
        };
        at += 1;
    }
    (at > start).then_some((Some(value), at))
}
