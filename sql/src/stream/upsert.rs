//! What stands before a sink that replaces rows by key.

use riverrun_dataflow::{OperatorKind, OperatorSpec};

use super::{Planned, StreamPlanner};
use crate::Result;
use crate::operator::rank::{Rank, RankSpec};

impl StreamPlanner<'_> {
    /// The changes of each key in order, with at most one row of a key at a time: what an upsert sink can take.
    ///
    /// Rows that are never taken back come in order as they are, and each replaces the one before, if they were spread by the key or not at all. Of all others
    /// the rows of each key are kept.
    pub fn one_row_per_key(&mut self, input: Planned, key: &[usize]) -> Result<Planned> {
        let is_unique = input.keys.iter().any(|of| of.iter().all(|column| key.contains(column)));
        if input.in_order_by(key) && (!input.retracts || is_unique) {
            return Ok(input);
        }
        let names: Vec<&str> =
            key.iter().map(|at| input.schema.field(*at).name().as_str()).collect();
        let names = names.join(", ");
        if !input.retracts {
            // Later rows replace earlier ones: rows of a key only have to come the same way.
            let stream = self.spread(&input, key);
            return Ok(Planned { stream, spread_by: Some(key.to_vec()), ..input });
        }
        let (ttl, until) = self.time_to_live(key).unzip();
        self.note_state("one row per key", format!("all rows of each {names}"), until);
        let spec = RankSpec::one_row_per_key(input.arrow_schema(), key.to_vec());
        let operator = OperatorSpec::new("one row per key", OperatorKind::Keyed).described(names);
        let stream = self.spread(&input, key).transform(operator, move |_| {
            Ok(Box::new(Rank::new(spec.clone())?.with_time_to_live(ttl)))
        });
        let parallelism = self.env.parallelism();
        let key = key.to_vec();
        Ok(Planned { stream, keys: vec![key.clone()], spread_by: Some(key), parallelism, ..input })
    }
}
