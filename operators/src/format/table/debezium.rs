//! Changes as Debezium describes them, in JSON.
//!
//! ```text
//! {"before": {..} or null, "after": {..} or null, "op": "c" | "r" | "u" | "d", ...}
//! ```
//!
//! `c` (created) and `r` (read in a snapshot) insert `after`; `d` takes `before` back; `u` does both. With Kafka Connect's schemas
//! all this stands in `payload`, beside `schema`. A record without a value only tells compaction that a row is gone: the
//! `d` before it has said so already.

use super::fault::Fault;
use super::json::{JsonOptions, Scanner};

/// Options of the format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DebeziumOptions {
    /// Records are `{"schema": .., "payload": ..}`.
    pub schema_include: bool,
    /// How the rows in them are written.
    pub json: JsonOptions,
}

/// The rows of a change as they stand in the text.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    /// To be taken back.
    pub(super) before: Option<&'a [u8]>,
    /// To be inserted.
    pub(super) after: Option<&'a [u8]>,
}

impl<'a> Change<'a> {
    /// Takes a record apart. Its rows are not read yet.
    pub(super) fn of(value: &'a [u8], options: &DebeziumOptions) -> Result<Self, Fault> {
        let mut scanner = Scanner::new(value)?;
        let change = match options.schema_include {
            false => envelope(&mut scanner)?,
            true => {
                let [payload] = members(&mut scanner, ["payload"])?;
                let hint = "'debezium-json.schema-include' is true, but there is no `payload`";
                let payload = payload.ok_or_else(|| Fault::new(hint))?;
                envelope(&mut Scanner::new(payload)?)?
            }
        };
        scanner.end()?;
        Ok(change)
    }
}

fn envelope<'a>(scanner: &mut Scanner<'a>) -> Result<Change<'a>, Fault> {
    let [before, after, op] = members(scanner, ["before", "after", "op"])?;
    let some = |image: Option<&'a [u8]>| image.filter(|image| *image != b"null");
    let op = op.map(|op| String::from_utf8_lossy(op).into_owned()).unwrap_or_default();
    let (wants_before, wants_after) = match op.trim_matches('"') {
        "c" | "r" => (false, true),
        "u" => (true, true),
        "d" => (true, false),
        "" => {
            let hint = "expected a change with an `op`, found none (with Kafka Connect's schemas set \
                        'debezium-json.schema-include' = 'true')";
            return Err(Fault::new(hint));
        }
        other => return Err(Fault::expected("c, r, u or d", other).within("op")),
    };
    let image = |name: &str, wanted: bool, image: Option<&'a [u8]>| match (wanted, some(image)) {
        (false, _) => Ok(None),
        (true, Some(image)) => Ok(Some(image)),
        (true, None) => {
            let found = format!(
                "expected the row of a change {op}, found none (a PostgreSQL table needs REPLICA IDENTITY FULL for it)"
            );
            Err(Fault::new(found).within(name))
        }
    };
    Ok(Change {
        before: image("before", wants_before, before)?,
        after: image("after", wants_after, after)?,
    })
}

/// The values of some members of an object, as they stand in the text; all others are skipped.
fn members<'a, const N: usize>(
    scanner: &mut Scanner<'a>,
    names: [&str; N],
) -> Result<[Option<&'a [u8]>; N], Fault> {
    let mut found = [None; N];
    if scanner.peek() != Some(b'{') {
        return Err(scanner.unexpected("an object"));
    }
    let mut goes_on = !scanner.open(b'}')?;
    while goes_on {
        let key = scanner.key()?;
        scanner.colon()?;
        scanner.peek();
        let start = scanner.position();
        scanner.skip()?;
        if let Some(at) = names.iter().position(|name| *name == key.raw) {
            found[at] = Some(scanner.since(start).as_bytes());
        }
        goes_on = scanner.goes_on(b'}')?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(bool, bool), String> {
        let change = Change::of(text.as_bytes(), &DebeziumOptions::default());
        change.map(|c| (c.before.is_some(), c.after.is_some())).map_err(|fault| fault.to_string())
    }

    #[test]
    fn operations_say_which_rows_count() {
        assert_eq!(of(r#"{"before":null,"after":{"a":1},"op":"c"}"#), Ok((false, true)));
        assert_eq!(of(r#"{"op":"r","before":{},"after":{}}"#), Ok((false, true)));
        assert_eq!(of(r#"{"op":"u","before":{},"after":{},"ts_ms":5}"#), Ok((true, true)));
        assert_eq!(of(r#"{"op":"d","before":{},"after":null}"#), Ok((true, false)));
        for (text, part) in [
            (r#"{"op":"u","before":null,"after":{}}"#, "field `before`"),
            (r#"{"op":"x","before":null,"after":{}}"#, "field `op`: expected c, r, u or d"),
            (r#"{"payload":{"op":"c","after":{}}}"#, "schema-include"),
            (r#"[1]"#, "expected an object"),
            (r#"{"op":"c","after":{}} x"#, "nothing more"),
        ] {
            assert!(of(text).unwrap_err().contains(part), "{text}");
        }
        let options = DebeziumOptions { schema_include: true, ..DebeziumOptions::default() };
        let text = br#"{"schema":{"type":"struct"},"payload":{"op":"c","after":{"a":1}}}"#;
        assert_eq!(Change::of(text, &options).unwrap().after, Some(&br#"{"a":1}"#[..]));
        assert!(Change::of(br#"{"op":"c","after":{}}"#, &options).is_err());
    }
}
