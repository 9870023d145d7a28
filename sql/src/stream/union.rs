//! UNION ALL.

use datafusion::logical_expr::{Expr, Union, cast};

use super::{Planned, StreamPlanner};
use crate::operator::calc::CalcSpec;
use crate::{Error, Result};

impl StreamPlanner<'_> {
    /// All rows of all inputs, in any order. Each input's columns are those of the union by position.
    pub(super) fn union(&mut self, union: &Union) -> Result<Planned> {
        let inputs = union.inputs.iter().map(|input| self.plan(input));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let mut inputs = inputs.into_iter().map(|input| self.as_part(union, input));
        let mut all = match inputs.next() {
            Some(first) => first?,
            None => return Err(Error::invalid("a UNION of nothing")),
        };
        for input in inputs {
            let input = input?;
            all.stream = all.stream.union(&input.stream);
            all.retracts |= input.retracts;
            all.time.retain(|column| input.time.contains(column));
            all.window = all.window.filter(|window| input.window.as_ref() == Some(window));
            all.parallelism = all.parallelism.max(input.parallelism);
        }
        all.keys.clear();
        all.spread_by = None;
        Ok(all)
    }

    /// An input with the names and types of the union's columns.
    fn as_part(&self, union: &Union, input: Planned) -> Result<Planned> {
        let output = union.schema.inner();
        let same = |(a, b): (&arrow_schema::FieldRef, &arrow_schema::FieldRef)| {
            a.name() == b.name() && a.data_type() == b.data_type()
        };
        let there = input.schema.inner().clone();
        if there.fields().iter().zip(output.fields()).all(same) {
            return Ok(Planned { schema: union.schema.clone(), ..input });
        }
        let columns = input.schema.columns().into_iter().zip(there.fields()).zip(output.fields());
        let columns = columns.map(|((column, is), wanted)| {
            let column = Expr::Column(column);
            match is.data_type() == wanted.data_type() {
                true => column,
                false => cast(column, wanted.data_type().clone()),
            }
        });
        let columns: Vec<Expr> = columns.collect();
        let spec = CalcSpec {
            filter: None,
            columns: Some(self.expressions(&columns, &input.schema)?),
            output: output.clone(),
        };
        let stream = self.calc(&input, spec, "as a part of a union".to_owned());
        Ok(input.moved(stream, union.schema.clone(), Some))
    }
}
