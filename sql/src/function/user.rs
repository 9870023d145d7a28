//! Functions of one's own, written as Rust closures.
//!
//! A closure says by its types what the function takes and gives: `|text: &str, n: i64| -> String` is a function `(STRING, BIGINT) -> STRING`. What is
//! not an `Option` is never NULL in the closure: where an argument is NULL, so is the result, and the closure is not called.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow_schema::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::registry::FunctionRegistry;

/// A Rust type that an argument of SQL can be read as.
///
/// There are `&str`, `i32`, `i64`, `f32`, `f64`, `bool`, [`Date`], [`Time`], and `Option` of each, which is `None` for NULL.
pub trait Argument {
    /// The value of a row.
    type Value<'a>;

    /// The type that arguments are cast to.
    fn data_type() -> DataType;

    /// Reads a row; `None` if it is NULL and the type cannot be.
    fn read(array: &dyn Array, row: usize) -> Option<Self::Value<'_>>;
}

/// A DATE: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i32);

/// A TIMESTAMP(3): milliseconds since 1970-01-01 00:00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Argument for &str {
    type Value<'a> = &'a str;

    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn read(array: &dyn Array, row: usize) -> Option<&str> {
        array.is_valid(row).then(|| array.as_string::<i32>().value(row))
    }
}

impl Argument for bool {
    type Value<'a> = bool;

    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn read(array: &dyn Array, row: usize) -> Option<bool> {
        array.is_valid(row).then(|| array.as_boolean().value(row))
    }
}

macro_rules! primitive {
    ($($rust:ty, $arrow:ty, $wrap:expr, $data_type:expr;)*) => {$(
        impl Argument for $rust {
            type Value<'a> = $rust;

            fn data_type() -> DataType {
                $data_type
            }

            fn read(array: &dyn Array, row: usize) -> Option<$rust> {
                array.is_valid(row).then(|| $wrap(array.as_primitive::<$arrow>().value(row)))
            }
        }
    )*};
}

primitive! {
    i32, Int32Type, std::convert::identity, DataType::Int32;
    i64, Int64Type, std::convert::identity, DataType::Int64;
    f32, Float32Type, std::convert::identity, DataType::Float32;
    f64, Float64Type, std::convert::identity, DataType::Float64;
    Date, Date32Type, Date, DataType::Date32;
    Time, TimestampMillisecondType, Time, super::windowing::bound_type();
}

impl<A: Argument> Argument for Option<A> {
    type Value<'a> = Option<A::Value<'a>>;

    fn data_type() -> DataType {
        A::data_type()
    }

    fn read(array: &dyn Array, row: usize) -> Option<Self::Value<'_>> {
        Some(A::read(array, row))
    }
}

/// A Rust type that a result of SQL can be written from.
///
/// There are `String`, `i32`, `i64`, `f32`, `f64` and `bool`, `Option` of each, and `Result` of each, whose error fails the query.
pub trait Outcome: Sized {
    /// The type of the result.
    fn data_type() -> DataType;

    /// Writes the results of a batch; `None` is NULL.
    ///
    /// # Errors
    /// The first error among them, as text.
    fn write(outcomes: impl Iterator<Item = Option<Self>>)
    -> std::result::Result<ArrayRef, String>;
}

macro_rules! outcome {
    ($($rust:ty, $array:ty, $data_type:ident;)*) => {$(
        impl Outcome for $rust {
            fn data_type() -> DataType {
                DataType::$data_type
            }

            fn write(outcomes: impl Iterator<Item = Option<Self>>) -> std::result::Result<ArrayRef, String> {
                Ok(Arc::new(outcomes.collect::<$array>()))
            }
        }
    )*};
}

outcome! {
    String, StringArray, Utf8;
    i32, Int32Array, Int32;
    i64, Int64Array, Int64;
    f32, Float32Array, Float32;
    f64, Float64Array, Float64;
    bool, BooleanArray, Boolean;
}

impl<T: Outcome> Outcome for Option<T> {
    fn data_type() -> DataType {
        T::data_type()
    }

    fn write(
        outcomes: impl Iterator<Item = Option<Self>>,
    ) -> std::result::Result<ArrayRef, String> {
        T::write(outcomes.map(Option::flatten))
    }
}

impl<T: Outcome, E: fmt::Display> Outcome for std::result::Result<T, E> {
    fn data_type() -> DataType {
        T::data_type()
    }

    fn write(
        outcomes: impl Iterator<Item = Option<Self>>,
    ) -> std::result::Result<ArrayRef, String> {
        let mut failure = None;
        let array = T::write(outcomes.map_while(|outcome| match outcome {
            Some(Err(error)) => {
                failure = Some(error.to_string());
                None
            }
            Some(Ok(value)) => Some(Some(value)),
            None => Some(None),
        }))?;
        match failure {
            Some(error) => Err(error),
            None => Ok(array),
        }
    }
}

/// A closure that can be a function of SQL: of up to four [`Argument`]s, with an [`Outcome`]. `Args` is the tuple of its argument types.
pub trait ScalarFunction<Args>: Send + Sync + 'static {
    /// Types of the arguments.
    fn arguments() -> Vec<DataType>;

    /// Type of the result.
    fn returns() -> DataType;

    /// Calls it for each of the rows.
    ///
    /// # Errors
    /// The text of an error that the closure returned.
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> std::result::Result<ArrayRef, String>;
}

macro_rules! scalar_function {
    ($($argument:ident $value:ident $index:tt),*) => {
        impl<Closure, Result, $($argument),*> ScalarFunction<($($argument,)*)> for Closure
        where
            Closure: Send + Sync + 'static,
            $($argument: Argument,)*
            Result: Outcome,
            // The second bound does the work; the first lets the types be told from the closure.
            Closure: Fn($($argument),*) -> Result,
            Closure: for<'a> Fn($($argument::Value<'a>),*) -> Result,
        {
            fn arguments() -> Vec<DataType> {
                vec![$($argument::data_type()),*]
            }

            fn returns() -> DataType {
                Result::data_type()
            }

            fn call(&self, arguments: &[ArrayRef], rows: usize) -> std::result::Result<ArrayRef, String> {
                let _ = arguments;
                Result::write((0..rows).map(|row| {
                    let _ = row;
                    $(let $value = $argument::read(arguments[$index].as_ref(), row)?;)*
                    Some(self($($value),*))
                }))
            }
        }
    };
}

scalar_function!();
scalar_function!(A a 0);
scalar_function!(A a 0, B b 1);
scalar_function!(A a 0, B b 1, C c 2);
scalar_function!(A a 0, B b 1, C c 2, D d 3);

/// What a closure does for a batch: rows of arguments to results.
type Body = dyn Fn(&[ArrayRef], usize) -> std::result::Result<ArrayRef, String> + Send + Sync;

/// A closure as DataFusion sees it.
struct Closure {
    name: String,
    arguments: Vec<DataType>,
    returns: DataType,
    signature: Signature,
    body: Box<Body>,
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Closure").field(&self.name).finish()
    }
}

impl PartialEq for Closure {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.body.as_ref(), other.body.as_ref()) && self.name == other.name
    }
}

impl Eq for Closure {}

impl Hash for Closure {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Closure {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name.to_uppercase();
        if given.len() != self.arguments.len() {
            let (takes, given) = (self.arguments.len(), given.len());
            return plan_err!("{name} takes {takes} arguments, and was given {given}");
        }
        for (index, (given, expected)) in given.iter().zip(&self.arguments).enumerate() {
            let numbers = given.is_numeric() && expected.is_numeric();
            let texts = given.is_string() && expected.is_string();
            let times = given.is_temporal() && expected.is_temporal();
            if given != expected && !given.is_null() && !numbers && !texts && !times {
                let (index, given) = (index + 1, super::type_name(given));
                let expected = super::type_name(expected);
                return plan_err!(
                    "{name}: argument {index} is {given}, expected {expected}; use CAST to convert it"
                );
            }
        }
        Ok(self.arguments.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = !args.args.is_empty()
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = (self.body)(&arrays, rows).map_err(|error| {
            DataFusionError::Execution(format!("{}: {error}", self.name.to_uppercase()))
        })?;
        if constant && result.len() == 1 {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}

impl FunctionRegistry {
    /// Adds a closure as a scalar function, or replaces the function of this name. Its result must depend on its arguments alone.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use riverrun_dataflow::ManualClock;
    /// use riverrun_sql::function::FunctionRegistry;
    ///
    /// let mut registry = FunctionRegistry::new(Arc::new(ManualClock::new(0)), 0);
    /// // NULL for NULL: the closure is not called.
    /// registry.register_scalar("shout", |text: &str, marks: i64| -> String {
    ///     format!("{}{}", text.to_uppercase(), "!".repeat(marks as usize))
    /// });
    /// // NULL is an ordinary value here.
    /// registry.register_scalar("or_zero", |number: Option<f64>| number.unwrap_or(0.0));
    /// // An error fails the query.
    /// registry.register_scalar("port", |text: &str| text.parse::<i32>());
    ///
    /// let shout = registry.scalar("SHOUT").unwrap();
    /// let returned = shout.return_type(&[])?;
    /// assert_eq!(returned, arrow_schema::DataType::Utf8);
    /// # Ok::<(), datafusion::error::DataFusionError>(())
    /// ```
    pub fn register_scalar<Args, F: ScalarFunction<Args>>(&mut self, name: &str, function: F) {
        let body = move |arguments: &[ArrayRef], rows: usize| function.call(arguments, rows);
        self.register_scalar_udf(Arc::new(ScalarUDF::new_from_impl(Closure {
            name: name.to_lowercase(),
            arguments: F::arguments(),
            returns: F::returns(),
            signature: Signature::user_defined(Volatility::Immutable),
            body: Box::new(body),
        })));
    }
}
