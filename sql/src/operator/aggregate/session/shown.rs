//! Sessions that are open, and what is out of them.

use arrow_array::{Int64Array, RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use riverrun_dataflow::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Changes;
use crate::state::{RowBytes, RowCodec};

/// What a session holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub start: Timestamp,
    pub end: Timestamp,
    pub state: RowBytes,
}

/// A session of a key that still takes rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub content: Content,
    /// What was put out of it, or of the sessions that it has swallowed, and is to be taken back.
    pub shown: Vec<Content>,
}

impl Session {
    /// True if what is out is what the session holds.
    pub fn is_shown(&self) -> bool {
        self.shown.as_slice() == std::slice::from_ref(&self.content)
    }
}

/// A row of the result that comes or goes.
pub(super) struct Shown {
    pub key: RowBytes,
    pub content: Content,
    pub weight: i64,
}

/// Takes back what is out of a session, and puts out what it holds.
pub(super) fn show(key: &RowBytes, session: &mut Session, changes: &mut Vec<Shown>) {
    if session.is_shown() {
        return;
    }
    let content = session.content.clone();
    let old = std::mem::replace(&mut session.shown, vec![content.clone()]);
    changes.extend(old.into_iter().map(|content| Shown { key: key.clone(), content, weight: -1 }));
    changes.push(Shown { key: key.clone(), content, weight: 1 });
}

/// As [`show`], of a session that is forgotten.
pub(super) fn finish(key: &RowBytes, session: Session, changes: &mut Vec<Shown>) {
    if session.is_shown() {
        return;
    }
    let Session { content, shown } = session;
    let change = |content, weight| Shown { key: key.clone(), content, weight };
    changes.extend(shown.into_iter().map(|content| change(content, -1)));
    changes.push(change(content, 1));
}

/// Rows without those that go and come again as they were: other rows may make the same result.
pub(super) fn differences(operator: &str, rows: &RecordBatch, shown: &[Shown]) -> Result<Changes> {
    let codec = RowCodec::of_schema(operator, &rows.schema())?;
    let encoded = codec.encode(operator, rows.columns(), rows.num_rows())?;
    let mut left: Vec<u32> = Vec::with_capacity(shown.len());
    let mut weights: Vec<i64> = Vec::with_capacity(shown.len());
    for (row, shown) in shown.iter().enumerate() {
        let same = left.last().is_some_and(|last| {
            weights.last() == Some(&-1)
                && shown.weight == 1
                && encoded.row(*last as usize) == encoded.row(row)
        });
        if same {
            left.pop();
            weights.pop();
        } else {
            left.push(row as u32);
            weights.push(shown.weight);
        }
    }
    let rows = take_record_batch(rows, &UInt32Array::from(left));
    let rows = rows.map_err(|error| Error::io(operator, error))?;
    Ok(Changes::weighted(rows, Int64Array::from(weights)))
}
