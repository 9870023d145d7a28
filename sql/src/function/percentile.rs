//! PERCENTILE, as in Flink: exact, interpolated between the two values that are nearest, a DOUBLE.
//!
//! DataFusion's `percentile_cont` has the type of its argument and rounds where it interpolates.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{Float64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

/// The function for the registry.
pub(super) fn percentile() -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(Percentile { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    signature: Signature,
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        "percentile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let number = |of: &DataType| of.is_numeric() || of.is_null();
        match given {
            [value, share] if number(value) && number(share) => {
                Ok(vec![DataType::Float64, DataType::Float64])
            }
            [_, _] => plan_err!("PERCENTILE takes numbers and a share from 0 to 1; use CAST"),
            _ => plan_err!("PERCENTILE takes two arguments, not {}", given.len()),
        }
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::<Values>::default())
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let values = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        Ok(vec![
            Arc::new(Field::new("values", values, true)),
            Arc::new(Field::new("share", DataType::Float64, true)),
        ])
    }
}

/// All values so far.
#[derive(Debug, Default)]
struct Values {
    values: Vec<f64>,
    share: Option<f64>,
}

impl Values {
    fn set_share(&mut self, share: &ArrayRef) -> Result<()> {
        let share = share.as_primitive::<Float64Type>();
        for share in share.iter().flatten() {
            if !(0.0..=1.0).contains(&share) {
                return exec_err!("PERCENTILE takes a share from 0 to 1, not {share}");
            }
            match self.share {
                Some(before) if before != share => {
                    return exec_err!(
                        "PERCENTILE takes one share for all rows, and was given {before} and {share}"
                    );
                }
                _ => self.share = Some(share),
            }
        }
        Ok(())
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, share] = values else {
            return exec_err!("PERCENTILE was given {} arguments", values.len());
        };
        self.set_share(share)?;
        self.values.extend(values.as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(share) = self.share.filter(|_| !self.values.is_empty()) else {
            return Ok(ScalarValue::Float64(None));
        };
        self.values.sort_unstable_by(f64::total_cmp);
        let place = share * (self.values.len() - 1) as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        let (low, high) = (self.values[below], self.values[above]);
        Ok(ScalarValue::Float64(Some(low + (high - low) * (place - below as f64))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut list = ListBuilder::new(Float64Builder::new());
        list.values().append_slice(&self.values);
        list.append(true);
        Ok(vec![ScalarValue::List(Arc::new(list.finish())), ScalarValue::Float64(self.share)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [lists, share] = states else {
            return exec_err!("PERCENTILE has a state of two columns, not {}", states.len());
        };
        self.set_share(share)?;
        for values in lists.as_list::<i32>().iter().flatten() {
            self.values.extend(values.as_primitive::<Float64Type>().iter().flatten());
        }
        Ok(())
    }
}
