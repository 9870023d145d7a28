use proptest::prelude::*;

use super::time::{TIME_LEN, TimeCache, parse_time, write_time};
use super::*;

const COMBINED: &[u8] = br#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a/b.png HTTP/1.1" 200 203023 "http://semicomplete.com/" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)""#;
const COMMON: &[u8] = br#"2001:db8::7 - joe [01/Jan/1970:01:30:00 +0130] "-" 400 -"#;

fn reason(line: &[u8]) -> (Reason, usize) {
    let error = parse(line).expect_err("a broken line");
    (error.reason, error.at)
}

#[test]
fn combined_line() {
    let line = parse(COMBINED).unwrap();
    assert_eq!(
        line,
        AccessLine {
            host: b"83.149.9.216",
            ident: b"-",
            user: b"-",
            time_ms: 1_431_857_103_000,
            request: b"GET /a/b.png HTTP/1.1",
            status: 200,
            bytes: Some(203_023),
            referer: Some(b"http://semicomplete.com/"),
            user_agent: Some(b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)"),
        }
    );
}

#[test]
fn common_line() {
    let line = parse(COMMON).unwrap();
    assert_eq!(
        line,
        AccessLine {
            host: b"2001:db8::7",
            ident: b"-",
            user: b"joe",
            time_ms: 0,
            request: b"-",
            status: 400,
            bytes: None,
            referer: None,
            user_agent: None,
        }
    );
}

#[test]
fn carriage_return_is_tolerated_once() {
    for line in [COMBINED, COMMON] {
        let with = [line, b"\r"].concat();
        assert_eq!(parse(&with), parse(line));
        assert!(parse(&[line, b"\r\r"].concat()).is_err());
    }
    assert_eq!(reason(b"\r"), (Reason::Empty, 0));
}

#[test]
fn quotes_backslashes_and_raw_bytes_inside_fields() {
    let line =
        b"h - - [17/May/2015:10:05:03 +0000] \"GET /\\\"a\\\\\" 404 0 \"\\x22\xe4\xff\" \"\"";
    let access = parse(line).unwrap();
    assert_eq!(access.request, br#"GET /\"a\\"#);
    assert_eq!(access.referer, Some(&b"\\x22\xe4\xff"[..]));
    assert_eq!(access.user_agent, Some(&b""[..]));
    // A backslash as the last byte escapes nothing, but must not be read past.
    assert_eq!(reason(b"h - - [17/May/2015:10:05:03 +0000] \"GET /\\").0, Reason::RequestQuote);
}

#[test]
fn users_may_hold_spaces() {
    let line = br#"h - jane q. doe [17/May/2015:10:05:03 +0000] "-" 401 0"#;
    assert_eq!(parse(line).unwrap().user, b"jane q. doe");
    let line = br#"h ident u [17/May/2015:10:05:03 +0000] "-" 401 0"#;
    assert_eq!((parse(line).unwrap().ident, parse(line).unwrap().user), (&b"ident"[..], &b"u"[..]));
}

#[test]
fn every_cut_of_a_combined_line_is_rejected_or_is_a_common_line() {
    for end in 0..COMBINED.len() {
        let cut = &COMBINED[..end];
        match parse(cut) {
            Ok(line) => assert!(
                line.referer.is_none() && (75..=80).contains(&end),
                "{}",
                cut.escape_ascii()
            ),
            Err(error) => assert!(error.at <= cut.len()),
        }
    }
}

#[test]
fn a_line_written_onto_the_rest_of_another_is_rejected() {
    for end in 1..COMBINED.len() {
        let torn = [&COMBINED[..end], COMMON].concat();
        if let Ok(line) = parse(&torn) {
            // Before the first bracket there is nothing to tell a second line by: a host is any word, a user any words.
            assert!(end <= 17, "cut at {end}: {}", torn.escape_ascii());
            assert_eq!(line.time_ms, 0);
        }
    }
}

#[test]
fn broken_lines_say_what_and_where() {
    let with = |from: &str, to: &str| {
        let text = std::str::from_utf8(COMBINED).unwrap();
        assert!(text.contains(from));
        reason(text.replacen(from, to, 1).as_bytes())
    };
    assert_eq!(reason(b""), (Reason::Empty, 0));
    assert_eq!(reason(b"\0\0\0\0"), (Reason::Host, 0));
    assert_eq!(reason(b" - - ["), (Reason::Host, 0));
    assert_eq!(reason(b"host"), (Reason::Host, 0));
    assert_eq!(reason(b"host "), (Reason::User, 5));
    assert_eq!(with("- - [", "- ["), (Reason::User, 13));
    assert_eq!(with("- - [", "-  ["), (Reason::User, 13));
    assert_eq!(with("- - [", "- \" ["), (Reason::User, 13));
    assert_eq!(with("17/May", "32/May"), (Reason::Time, 18));
    assert_eq!(with("]", ")"), (Reason::Time, 18));
    assert_eq!(with("] \"GET", "] GET"), (Reason::Request, 45));
    assert_eq!(with(" 200 ", " 20 "), (Reason::Status, 70));
    assert_eq!(with(" 200 ", " 2000 "), (Reason::Status, 70));
    assert_eq!(with("203023", "20x"), (Reason::Bytes, 76));
    assert_eq!(with("203023", ""), (Reason::Bytes, 74));
    assert_eq!(with("203023", "18446744073709551616"), (Reason::Bytes, 74));
    assert_eq!(with("\"http", "http"), (Reason::Referer, 80));
    assert_eq!(with("com/\" \"", "com/\" "), (Reason::UserAgent, 107));
    let longer = [COMBINED, b" \"-\""].concat();
    assert_eq!(reason(&longer), (Reason::Trailing, COMBINED.len()));
    let cut = COMBINED.len() - 1;
    assert_eq!(reason(&COMBINED[..cut]), (Reason::UserAgentQuote, cut));
    let shown = parse(&COMBINED[..cut]).unwrap_err().to_string();
    assert_eq!(shown, format!("the user agent's closing quote is missing (byte {cut})"));
}

#[test]
fn largest_size() {
    let line = br#"h - - [17/May/2015:10:05:03 +0000] "-" 200 18446744073709551615"#;
    assert_eq!(parse(line).unwrap().bytes, Some(u64::MAX));
}

#[test]
fn times() {
    let time = |text: &[u8; TIME_LEN]| parse_time(text);
    assert_eq!(time(b"01/Jan/1970:00:00:00 +0000"), Some(0));
    assert_eq!(time(b"29/Feb/2016:23:59:59 -0330"), Some(1_456_802_999_000));
    assert_eq!(time(b"01/Jan/0000:00:00:00 +0000"), Some(-62_167_219_200_000));
    assert_eq!(time(b"31/Dec/9999:23:59:59 +0000"), Some(253_402_300_799_000));
    for broken in [
        b"00/Jan/1970:00:00:00 +0000",
        b"30/Feb/2016:00:00:00 +0000",
        b"29/Feb/1900:00:00:00 +0000",
        b"01/jan/1970:00:00:00 +0000",
        b"01/Jan/1970:24:00:00 +0000",
        b"01/Jan/1970:00:60:00 +0000",
        b"01/Jan/1970:00:00:60 +0000",
        b"01/Jan/1970:00:00:00 00000",
        b"01/Jan/1970:00:00:00 +2400",
        b"01/Jan/1970:00:00:00 +0060",
        b"01/Jan/1970 00:00:00 +0000",
        b"01/Jan/1970:00:00:0x +0000",
    ] {
        assert_eq!(time(broken), None, "{}", broken.escape_ascii());
        assert_eq!(TimeCache::default().parse(broken), None, "{}", broken.escape_ascii());
    }
}

#[test]
fn requests_are_split_only_if_they_are_request_lines() {
    let parts = |request: &'static [u8]| {
        let split = Request::split(request);
        (split.method, split.path, split.protocol)
    };
    assert_eq!(parts(b"GET / HTTP/1.1"), (&b"GET"[..], &b"/"[..], &b"HTTP/1.1"[..]));
    assert_eq!(
        parts(b"M-SEARCH /a b HTTP/2.0"),
        (&b"M-SEARCH"[..], &b"/a b"[..], &b"HTTP/2.0"[..])
    );
    for other in [&b""[..], b"-", b"GET /", b"\\x16\\x03 / HTTP/1.1", b"GET HTTP/1.1", b"GET / FTP"]
    {
        assert_eq!(parts(other), (&b""[..], other, &b""[..]));
    }
}

/// Pieces that lines are made of, and pieces that break them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        &b"1.2.3.4"[..],
        b"2001:db8::1",
        b"www.example.com",
        b" ",
        b" - ",
        b"- - ",
        b"[",
        b"] ",
        b"\"",
        b"\\",
        b"\\\"",
        b"\\x22",
        b"-",
        b"GET / HTTP/1.1",
        b"200",
        b" 200 512",
        b"99999999999999999999",
        b"17/May/2015:10:05:03 +0000",
        b"\r",
        b"\xff\xfe",
        b"\"-\"",
        b"\0",
    ]);
    prop_oneof![4 => fixed.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..4)]
}

/// What a log may hold between quotes: unescaped, neither quote nor backslash stands alone.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>()
            .prop_filter("plain", |byte| !b"\"\\\n".contains(byte))
            .prop_map(|byte| vec![byte]),
        any::<u8>().prop_map(|byte| vec![b'\\', byte]),
        Just(b"\\x22".to_vec()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[derive(Debug, Clone)]
struct Owned {
    host: String,
    ident: String,
    user: String,
    time_ms: i64,
    request: Vec<u8>,
    status: u16,
    bytes: Option<u64>,
    extra: Option<(Vec<u8>, Vec<u8>)>,
}

impl Owned {
    fn line(&self) -> AccessLine<'_> {
        AccessLine {
            host: self.host.as_bytes(),
            ident: self.ident.as_bytes(),
            user: self.user.as_bytes(),
            time_ms: self.time_ms,
            request: &self.request,
            status: self.status,
            bytes: self.bytes,
            referer: self.extra.as_ref().map(|(referer, _)| &referer[..]),
            user_agent: self.extra.as_ref().map(|(_, agent)| &agent[..]),
        }
    }
}

fn access() -> impl Strategy<Value = Owned> {
    let names = ("[!-~]{1,40}", "-|[a-z]{1,8}", "-|[a-z]( ?[a-z:é]){0,8}");
    let time = -62_167_219_200i64..=253_402_300_799;
    (names, time, field(), 0..1000u16, any::<Option<u64>>(), prop::option::of((field(), field())))
        .prop_map(|((host, ident, user), second, request, status, bytes, extra)| Owned {
            host,
            ident,
            user,
            time_ms: second * 1000,
            request,
            status,
            bytes,
            extra,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rendered_lines_parse_to_what_was_rendered(access in access()) {
        let mut rendered = Vec::new();
        access.line().write_to(&mut rendered);
        prop_assert_eq!(parse(&rendered), Ok(access.line()));
        prop_assert_eq!(reference::parse(&rendered), Some(access.line()));
    }

    #[test]
    fn all_parsers_agree(
        access in access(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, piece()), 0..3),
        pieces in prop::collection::vec(piece(), 0..12),
        scratch in prop::bool::weighted(0.2),
    ) {
        let mut line = Vec::new();
        if scratch {
            line = pieces.concat();
        } else {
            access.line().write_to(&mut line);
            for (at, removed, piece) in &edits {
                let at = at.index(line.len() + 1);
                let end = (at + removed).min(line.len());
                line.splice(at..end, piece.iter().copied());
            }
        }
        let parsed = parse(&line);
        prop_assert_eq!(parsed.ok(), reference::parse(&line));
        let mut parser = LineParser::default();
        // Twice: with a cold memory of the hour and with a warm one.
        for _ in 0..2 {
            prop_assert_eq!(parser.parse(&line), parsed);
            let host_and_time = parsed.map(|line| (line.host, line.time_ms));
            prop_assert_eq!(parser.parse_host_and_time(&line), host_and_time);
            prop_assert_eq!(parse_host_and_time(&line), host_and_time);
        }
    }

    #[test]
    fn times_survive_writing_and_reading(
        seconds in prop::collection::vec(-62_135_596_800i64..=253_402_214_400, 1..8),
        offset in -1439..=1439i16,
    ) {
        let mut cache = TimeCache::default();
        for second in seconds {
            for second in [second, second + 59, second + 3599] {
                let mut text = Vec::new();
                write_time(second * 1000 + 999, offset, &mut text);
                let text = text.first_chunk::<TIME_LEN>().unwrap();
                prop_assert_eq!(parse_time(text), Some(second * 1000));
                prop_assert_eq!(cache.parse(text), Some(second * 1000));
            }
        }
    }
}
