//! Owned rows for the typed DSL.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::error::NginxError;
use super::line::{AccessLine, parse, parse_host_and_time};
use super::text::{present, text};

/// One access, all fields. Text keeps nginx's escapes; bytes that are not UTF-8 become `\xE4`.
///
/// ```
/// use riverrun_operators::nginx::Access;
///
/// let access = Access::parse(br#"::1 - joe [17/May/2015:10:05:03 +0000] "GET /a b HTTP/1.1" 200 17 "-" "curl/8.5.0""#)?;
/// assert_eq!((&access.ip[..], access.user.as_deref()), ("::1", Some("joe")));
/// assert_eq!((&access.method[..], &access.path[..], &access.protocol[..]), ("GET", "/a b", "HTTP/1.1"));
/// assert_eq!((access.referer, access.user_agent.as_deref()), (None, Some("curl/8.5.0")));
/// # Ok::<(), riverrun_operators::nginx::NginxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access {
    /// Who asked: an IPv4 or IPv6 address, or a name.
    pub ip: CompactString,
    /// The user of basic authentication, if any.
    pub user: Option<CompactString>,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
    /// The method, `GET`; empty if the request is not an HTTP request line.
    pub method: CompactString,
    /// The path with its query; all of the request if it is not an HTTP request line.
    pub path: String,
    /// The protocol, `HTTP/1.1`; empty if the request is not an HTTP request line.
    pub protocol: CompactString,
    /// The status of the response, 0 to 999.
    pub status: u16,
    /// Size of the response in bytes, if known.
    pub bytes: Option<u64>,
    /// The referer, if there is one.
    pub referer: Option<String>,
    /// The user agent, if there is one.
    pub user_agent: Option<String>,
}

impl Access {
    /// Parses one line, without its newline.
    ///
    /// # Errors
    /// Those of [`parse`].
    pub fn parse(line: &[u8]) -> Result<Access, NginxError> {
        parse(line).map(Access::from)
    }
}

impl From<AccessLine<'_>> for Access {
    fn from(line: AccessLine<'_>) -> Access {
        let request = Request::split(line.request);
        let optional = |field: &[u8]| present(field).map(|field| text(field).into_owned());
        Access {
            ip: text(line.host).into(),
            user: present(line.user).map(|user| text(user).into()),
            time_ms: line.time_ms,
            method: text(request.method).into(),
            path: text(request.path).into_owned(),
            protocol: text(request.protocol).into(),
            status: line.status,
            bytes: line.bytes,
            referer: line.referer.and_then(optional),
            user_agent: line.user_agent.and_then(optional),
        }
    }
}

/// Who, and when: all that counting per IP and window needs.
///
/// ```
/// use riverrun_operators::nginx::AccessHit;
///
/// let hit = AccessHit::parse(br#"10.0.0.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 17"#)?;
/// assert_eq!(hit, AccessHit { ip: "10.0.0.7".into(), time_ms: 1_431_857_103_000 });
/// # Ok::<(), riverrun_operators::nginx::NginxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AccessHit {
    /// Who asked: an IPv4 or IPv6 address, or a name.
    pub ip: CompactString,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
}

impl AccessHit {
    /// Parses one line, without its newline.
    ///
    /// # Errors
    /// Those of [`parse`]: all of the line is checked, although little of it is kept.
    pub fn parse(line: &[u8]) -> Result<AccessHit, NginxError> {
        let (host, time_ms) = parse_host_and_time(line)?;
        Ok(AccessHit { ip: text(host).into(), time_ms })
    }
}

/// The parts of a request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`; empty if the request is not an HTTP request line.
    pub method: &'a [u8],
    /// The path with its query; all of the request if it is not an HTTP request line.
    pub path: &'a [u8],
    /// `HTTP/1.1`; empty if the request is not an HTTP request line.
    pub protocol: &'a [u8],
}

impl<'a> Request<'a> {
    /// Splits `GET /path HTTP/1.1` at its first and last space, so that a path may hold spaces. What does not end in
    /// ` HTTP/...` or does not begin with a method in letters is all path: broken clients send such things.
    pub fn split(request: &'a [u8]) -> Request<'a> {
        let whole = Request { method: b"", path: request, protocol: b"" };
        let Some(first) = memchr::memchr(b' ', request) else { return whole };
        let Some(last) = memchr::memrchr(b' ', request).filter(|&last| last > first) else {
            return whole;
        };
        let (method, protocol) = (&request[..first], &request[last + 1..]);
        let letters = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
        if method.is_empty() || !method.iter().all(letters) || !protocol.starts_with(b"HTTP/") {
            return whole;
        }
        Request { method, path: &request[first + 1..last], protocol }
    }
}
