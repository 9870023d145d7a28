//! UNNEST: lists to rows, structs to columns.

use datafusion::common::NullHandling;
use datafusion::logical_expr::Unnest;
use riverrun_dataflow::{OperatorKind, OperatorSpec};

use super::{Planned, StreamPlanner};
use crate::operator::unnest::{Flattened, Unnest as UnnestOperator, UnnestSpec};
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn unnest(&mut self, unnest: &Unnest) -> Result<Planned> {
        let input = self.plan(&unnest.input)?;
        let (mut columns, mut moved) = (Vec::new(), vec![None; input.schema.fields().len()]);
        for (at, place) in moved.iter_mut().enumerate() {
            let lists = unnest.list_type_columns.iter().filter(|(column, _)| *column == at);
            let mut lists = lists.map(|(_, list)| list.depth).peekable();
            if lists.peek().is_some() {
                for depth in lists {
                    if depth != 1 {
                        return Err(Error::unsupported(format!(
                            "an UNNEST of lists in lists ({}): give the inner UNNEST a query of its own",
                            input.schema.field(at).name()
                        )));
                    }
                    columns.push(Flattened::List(at));
                }
            } else if unnest.struct_type_columns.contains(&at) {
                columns.push(Flattened::Struct(at));
            } else {
                let before = columns.iter().map(|column| width(column, &input)).sum();
                *place = Some(before);
                columns.push(Flattened::Copied(at));
            }
        }
        let spec = UnnestSpec {
            columns,
            output: unnest.schema.inner().clone(),
            keep_null: unnest.options.null_handling != NullHandling::Drop,
            keep_empty: unnest.options.null_handling == NullHandling::PreserveAndExpandEmpty,
        };
        let names: Vec<String> = unnest.exec_columns.iter().map(ToString::to_string).collect();
        let operator =
            OperatorSpec::new("unnest", OperatorKind::Transform).described(names.join(", "));
        let stream = input
            .stream
            .transform(operator, move |_| Ok(Box::new(UnnestOperator::new(spec.clone()))))
            .parallelism(input.parallelism);
        let flattens = !unnest.list_type_columns.is_empty();
        let mut planned = input.moved(stream, unnest.schema.clone(), |column| moved[column]);
        if flattens {
            planned.keys.clear();
        }
        Ok(planned)
    }
}

/// How many columns come of one.
fn width(column: &Flattened, input: &Planned) -> usize {
    match column {
        Flattened::Struct(at) => match input.schema.field(*at).data_type() {
            arrow_schema::DataType::Struct(fields) => fields.len(),
            _ => 1,
        },
        _ => 1,
    }
}
