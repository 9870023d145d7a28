//! Asks a server over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

const PATIENCE: Duration = Duration::from_secs(30);

/// What is read of an answer at most: far more than a list of jobs has.
const LONGEST: u64 = 64 << 20;

/// A server's HTTP address. It speaks HTTP/1.0, one request a connection: the answer then ends with the connection, and
/// nothing that a larger client would be needed for can occur.
pub struct HttpClient(String);

impl HttpClient {
    /// The server at HOST:PORT; `http://` in front is fine.
    pub fn new(address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap_or(address);
        Self(address.trim_end_matches('/').to_owned())
    }

    /// The JSON at a path.
    ///
    /// # Errors
    /// If nobody answers, and what the server says is wrong.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.request("GET", path)?;
        serde_json::from_slice(&body)
            .with_context(|| format!("http://{}{path} did not answer as riverrun does", self.0))
    }

    /// The text at a path.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn text(&self, path: &str) -> anyhow::Result<String> {
        String::from_utf8(self.request("GET", path)?).context("the answer is not UTF-8")
    }

    /// Posts to a path, without a body.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn post(&self, path: &str) -> anyhow::Result<()> {
        self.request("POST", path).map(drop)
    }

    fn request(&self, method: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        let server = &self.0;
        let mut stream = TcpStream::connect(server).with_context(|| {
            format!("no server answers at {server}: start one with `riverrun server`, or name its --http address")
        })?;
        stream.set_read_timeout(Some(PATIENCE)).context("cannot set a timeout")?;
        let head =
            format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).with_context(|| format!("cannot ask {server}"))?;
        let mut answer = Vec::new();
        stream
            .take(LONGEST)
            .read_to_end(&mut answer)
            .with_context(|| format!("{server} broke off its answer"))?;
        let (status, body) = split(&answer)
            .with_context(|| format!("what answers at {server} is not an HTTP server"))?;
        if status != 200 {
            let reason = serde_json::from_slice::<serde_json::Value>(body).ok();
            let reason = reason.as_ref().and_then(|json| json["error"].as_str());
            match reason {
                Some(reason) => bail!("{reason}"),
                None => bail!("http://{server}{path} answers with status {status}"),
            }
        }
        Ok(body.to_vec())
    }
}

/// Status and body of an answer.
fn split(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, &answer[end + 4..]))
}

/// A name as part of a path.
pub(crate) fn path_segment(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => path.push(byte as char),
            _ => path += &format!("%{byte:02X}"),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_split_into_status_and_body() {
        assert_eq!(split(b"HTTP/1.0 200 OK\r\na: b\r\n\r\nbody"), Some((200, &b"body"[..])));
        assert_eq!(split(b"HTTP/1.1 404 Not Found\r\n\r\n"), Some((404, &b""[..])));
        assert_eq!(split(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(split(b"HTTP/1.0 200 OK\r\n"), None);
    }

    #[test]
    fn any_name_can_stand_in_a_path() {
        assert_eq!(path_segment("a-b_c.1"), "a-b_c.1");
        assert_eq!(path_segment("a b/ö?"), "a%20b%2F%C3%B6%3F");
    }
}
