//! Windowing functions, where no aggregation takes them over.

use riverrun_dataflow::{OperatorKind, OperatorSpec};

use super::calc::column_of;
use super::{Planned, StreamPlanner, WindowColumns};
use crate::operator::sessions::{Sessions, SessionsSpec};
use crate::operator::windows::{WindowAssigner, WindowAssignerSpec};
use crate::plan::{WindowKind, WindowTvf};
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn windows(&mut self, node: &WindowTvf) -> Result<Planned> {
        if let WindowKind::Session { gap } = node.kind {
            return self.sessions(node, gap);
        }
        let input = self.plan(&node.input)?;
        let time = column_of(&node.time, &input);
        let event_time = time.is_some_and(|time| input.time.contains(&time));
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

    fn sessions(&mut self, node: &WindowTvf, gap: i64) -> Result<Planned> {
        let input = self.plan(&node.input)?;
        let time = column_of(&node.time, &input);
        if !time.is_some_and(|time| input.time.contains(&time)) && !self.bounded() {
            return Err(Error::Refused(format!(
                "sessions by {} are never over, because it is no event time: give its table a WATERMARK FOR it",
                node.time
            )));
        }
        let key: Option<Vec<usize>> =
            node.partition_by.iter().map(|key| column_of(key, &input)).collect();
        let key = key.ok_or_else(|| Error::invalid("PARTITION BY of a session takes columns"))?;
        let spec = SessionsSpec {
            input: input.arrow_schema(),
            key: key.clone(),
            time: self.expression(&node.time, &input.schema)?,
            gap,
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
        planned.window = Some(WindowColumns { start: own, end: own + 1, event_time: true });
        // Rows come when their session is over: only its own time is still ahead of event time.
        planned.time = vec![own + 2];
        planned.spread_by = (!key.is_empty()).then_some(key);
        planned.parallelism = parallelism;
        Ok(planned)
    }
}
