//! Windowing functions, where no aggregation takes them over.

use riverrun_dataflow::{OperatorKind, OperatorSpec};

use super::calc::column_of;
use super::{Planned, StreamPlanner, WindowColumns};
use crate::operator::windows::{WindowAssigner, WindowAssignerSpec};
use crate::plan::{WindowKind, WindowTvf};
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn windows(&mut self, node: &WindowTvf) -> Result<Planned> {
        if matches!(node.kind, WindowKind::Session { .. }) {
            return Err(Error::unsupported(
                "SESSION in a streaming query without GROUP BY window_start, window_end and its keys: \
                 which session a row belongs to is known only when the session is over",
            ));
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
}
