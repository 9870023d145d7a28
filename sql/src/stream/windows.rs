//! Windowing functions, where no aggregation takes them over.

use datafusion::logical_expr::Expr;
use riverrun_dataflow::{OperatorKind, OperatorSpec};

use super::calc::column_of;
use super::{Planned, StreamPlanner, WindowColumns};
use crate::operator::sessions::{Sessions, SessionsSpec};
use crate::operator::windows::{WindowAssigner, WindowAssignerSpec};
use crate::plan::{WindowKind, WindowTvf, is_processing_time};
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn windows(&mut self, node: &WindowTvf) -> Result<Planned> {
        if let WindowKind::Session { gap } = node.kind {
            return self.sessions(node, gap);
        }
        let input = self.plan(&node.input)?;
        let time = column_of(&node.time, &input);
        let event_time = time.is_some_and(|time| input.time.contains(&time));
        if is_processing_time(&node.input, &node.time) {
            by_the_clock(node.kind, &input)?;
        }
        let spec = WindowAssignerSpec {
            kind: node.kind,
            time: self.expression(&node.time, &input.schema)?,
            output: node.schema.inner().clone(),
        };
        let operator = OperatorSpec::new("windows", OperatorKind::Transform)
            .described(format!("{}, on {}", node.kind, node.time));
        let stream = input
            .stream
            .transform(operator, move |_| Ok(Box::new(WindowAssigner::new(spec.clone()))))
            .parallelism(input.parallelism);
        let own = node.input_columns();
        let mut planned = input.moved(stream, node.schema.clone(), Some);
        planned.window = Some(WindowColumns { start: own, end: own + 1, event_time });
        // A row comes once for each of its windows.
        match node.kind {
            WindowKind::Tumble { .. } => {}
            _ => planned.keys.iter_mut().for_each(|key| key.extend([own, own + 1])),
        }
        if event_time {
            planned.time.push(own + 2);
        }
        Ok(planned)
    }

    /// Whether windows end by event time; if not, they end by processing time.
    ///
    /// # Errors
    /// [`Error::Refused`] if they would never end, or if rows that may be taken back would not find the windows that they are in.
    fn follows_event_time(&self, node: &WindowTvf, input: &Planned) -> Result<bool> {
        let (kind, time) = (node.kind, &node.time);
        if is_processing_time(&node.input, time) {
            return by_the_clock(kind, input).map(|()| false);
        }
        let event_time = column_of(time, input).is_some_and(|time| input.time.contains(&time));
        // Where the input ends, its end is event time enough.
        match event_time || !self.endless {
            true => Ok(true),
            false => Err(never_over(kind, time)),
        }
    }

    fn sessions(&mut self, node: &WindowTvf, gap: i64) -> Result<Planned> {
        let input = self.plan(&node.input)?;
        let event_time = self.follows_event_time(node, &input)?;
        let key: Option<Vec<usize>> =
            node.partition_by.iter().map(|key| column_of(key, &input)).collect();
        let key = key.ok_or_else(|| Error::invalid("PARTITION BY of a session takes columns"))?;
        let spec = SessionsSpec {
            input: input.arrow_schema(),
            key: key.clone(),
            time: self.expression(&node.time, &input.schema)?,
            gap,
            event_time,
            retracts: input.retracts,
            output: node.schema.inner().clone(),
        };
        let description = format!("{}, on {}", node.kind, node.time);
        let until = "until their session is over".to_owned();
        self.note_state("sessions", "the rows of open sessions", Some(until));
        let operator = Self::keyed_spec("sessions", description, &key);
        let stream = self
            .spread(&input, &key)
            .transform(operator, move |_| Ok(Box::new(Sessions::new(spec.clone())?)));
        let own = node.input_columns();
        let parallelism = self.keyed_parallelism(&key);
        let mut planned = input.moved(stream, node.schema.clone(), Some);
        planned.window = Some(WindowColumns { start: own, end: own + 1, event_time });
        // Rows come when their session is over, and stay: only its own time is still ahead of event time, and a row that comes again with a new
        // value may come in another session.
        planned.time = if event_time { vec![own + 2] } else { Vec::new() };
        if std::mem::take(&mut planned.retracts) {
            planned.keys.iter_mut().for_each(|key| key.extend([own, own + 1]));
        }
        planned.spread_by = (!key.is_empty()).then_some(key);
        planned.parallelism = parallelism;
        Ok(planned)
    }
}

/// Of windows that follow neither event time nor the clock.
pub(super) fn never_over(kind: WindowKind, time: &Expr) -> Error {
    Error::Refused(format!(
        "the time column {time} of {kind} is not event time, so its windows never end: declare WATERMARK FOR it, and leave it as it is on the \
         way to the window"
    ))
}

/// Checks rows for windows by processing time.
///
/// # Errors
/// [`Error::Refused`] if they may be taken back: they would not find the windows that they are in.
pub(super) fn by_the_clock(kind: WindowKind, input: &Planned) -> Result<()> {
    match input.retracts {
        false => Ok(()),
        true => Err(Error::Refused(format!(
            "{kind} by processing time over rows that may be taken back: what takes a row back comes at another time, in another window; \
             use event time (WATERMARK FOR a column)"
        ))),
    }
}
