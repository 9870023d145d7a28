//! Aggregate functions of one's own.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::registry::FunctionRegistry;
use super::user::{Argument, Outcome};

/// An aggregate function: values are added to a state one after the other, states are merged, and a state has a result.
///
/// States travel between subtasks and into checkpoints as JSON. Rows in any order, and split in any way, must give the same result.
///
/// ```
/// use std::sync::Arc;
/// use riverrun_dataflow::ManualClock;
/// use riverrun_sql::function::{Fold, FunctionRegistry};
///
/// /// The longest text; of several, the greatest.
/// #[derive(Debug)]
/// struct Longest;
///
/// impl Fold for Longest {
///     type Input = &'static str;
///     type State = Option<String>;
///     type Output = Option<String>;
///
///     fn add(&self, longest: &mut Option<String>, text: &str) {
///         let best = longest.as_deref().unwrap_or("");
///         if (text.len(), text) > (best.len(), best) {
///             *longest = Some(text.to_owned());
///         }
///     }
///
///     fn merge(&self, longest: &mut Option<String>, other: Option<String>) {
///         if let Some(text) = other {
///             self.add(longest, &text);
///         }
///     }
///
///     fn result(&self, longest: &Option<String>) -> Option<String> {
///         longest.clone()
///     }
/// }
///
/// let mut registry = FunctionRegistry::new(Arc::new(ManualClock::new(0)), 0);
/// registry.register_aggregate("longest", Longest);
/// assert!(registry.aggregate("LONGEST").is_some());
/// ```
pub trait Fold: Send + Sync + fmt::Debug + 'static {
    /// The argument. Rows in which it is NULL are passed over, unless this is an `Option`.
    type Input: Argument;
    /// What is known of the values so far; [`Default`] is that of none.
    type State: Default + Serialize + DeserializeOwned + fmt::Debug + Send + Sync;
    /// The result.
    type Output: Outcome;

    /// Adds a value.
    fn add(&self, state: &mut Self::State, value: <Self::Input as Argument>::Value<'_>);

    /// Adds the values that another state knows of.
    fn merge(&self, state: &mut Self::State, other: Self::State);

    /// The result of the values so far.
    fn result(&self, state: &Self::State) -> Self::Output;
}

struct Folded<F> {
    name: String,
    signature: Signature,
    fold: Arc<F>,
}

impl<F> fmt::Debug for Folded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folded").field(&self.name).finish()
    }
}

impl<F> PartialEq for Folded<F> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.fold, &other.fold)
    }
}

impl<F> Eq for Folded<F> {}

impl<F> Hash for Folded<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<F: Fold> AggregateUDFImpl for Folded<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(F::Output::data_type())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [_] => Ok(vec![F::Input::data_type()]),
            _ => plan_err!("{} takes one argument, not {}", self.name.to_uppercase(), given.len()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format!("{}[state]", args.name);
        Ok(vec![Arc::new(Field::new(name, DataType::Utf8, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            let name = self.name.to_uppercase();
            return plan_err!(
                "{name}(DISTINCT ..) is not there; give it the values of a SELECT DISTINCT"
            );
        }
        let (fold, state) = (Arc::clone(&self.fold), F::State::default());
        Ok(Box::new(Running {
            name: self.name.clone(),
            fold,
            state,
            _kind: PhantomData::<fn() -> F>,
        }))
    }
}

#[derive(Debug)]
struct Running<F: Fold> {
    name: String,
    fold: Arc<F>,
    state: F::State,
    _kind: PhantomData<fn() -> F>,
}

impl<F: Fold> Running<F> {
    fn failed(&self, error: impl fmt::Display) -> DataFusionError {
        DataFusionError::Execution(format!("{}: {error}", self.name.to_uppercase()))
    }
}

impl<F: Fold> Accumulator for Running<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for row in 0..values.len() {
            if let Some(value) = F::Input::read(values.as_ref(), row) {
                self.fold.add(&mut self.state, value);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first() else { return Ok(()) };
        for state in states.as_string::<i32>().iter().flatten() {
            let other = serde_json::from_str(state).map_err(|error| self.failed(error))?;
            self.fold.merge(&mut self.state, other);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = serde_json::to_string(&self.state).map_err(|error| self.failed(error))?;
        Ok(vec![ScalarValue::Utf8(Some(state))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let outcome = std::iter::once(Some(self.fold.result(&self.state)));
        let array = F::Output::write(outcome).map_err(|error| self.failed(error))?;
        ScalarValue::try_from_array(&array, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

impl FunctionRegistry {
    /// Adds an aggregate function, or replaces the one of this name. See [`Fold`].
    pub fn register_aggregate<F: Fold>(&mut self, name: &str, fold: F) {
        self.register_aggregate_udf(Arc::new(AggregateUDF::new_from_impl(Folded {
            name: name.to_lowercase(),
            signature: Signature::user_defined(Volatility::Immutable),
            fold: Arc::new(fold),
        })));
    }
}
