//! What all scalar functions of ours share: declared parameters, coercion, and errors that say which argument is wrong.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::argument::{IntArgument, NumberArgument, TextArgument, TimeArgument};
use super::registry::FunctionContext;

/// What a parameter takes. Arguments are cast to it while planning, so that functions see one type each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// STRING.
    Text,
    /// STRING or BYTES, as it is.
    TextOrBytes,
    /// Any integer type, as BIGINT.
    Int,
    /// Any integer type, as BIGINT, or STRING.
    IntOrText,
    /// Any number, as DOUBLE.
    Double,
    /// Any number, as it is.
    Number,
    /// DATE, TIMESTAMP or TIMESTAMP_LTZ, in milliseconds.
    Time,
    /// As [`Kind::Time`], or STRING, which is parsed as one.
    TimeOrText,
    /// Anything, as it is.
    Any,
}

impl Kind {
    fn expected(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            Self::TextOrBytes => "STRING or BYTES",
            Self::Int => "an integer",
            Self::IntOrText => "an integer or STRING",
            Self::Double | Self::Number => "a number",
            Self::Time => "a DATE or TIMESTAMP",
            Self::TimeOrText => "a DATE, TIMESTAMP or STRING",
            Self::Any => "any value",
        }
    }

    /// The type that an argument of type `given` is cast to; `None` if it does not fit.
    fn coerced(self, given: &DataType) -> Option<DataType> {
        use DataType::{
            BinaryView, Date32, Date64, Float64, Int64, LargeBinary, LargeUtf8, Null, Timestamp,
            Utf8, Utf8View,
        };
        let text = matches!(given, Utf8 | LargeUtf8 | Utf8View);
        let millis = |zone: &Option<Arc<str>>| Timestamp(TimeUnit::Millisecond, zone.clone());
        match (self, given) {
            (Self::Any | Self::Number, Null) => Some(Null),
            (Self::Any, given) => Some(given.clone()),
            (Self::Text | Self::TextOrBytes, Null) => Some(Utf8),
            (Self::Text | Self::TextOrBytes | Self::IntOrText, _) if text => Some(Utf8),
            (Self::TextOrBytes, DataType::Binary | LargeBinary | BinaryView) => {
                Some(DataType::Binary)
            }
            (Self::TextOrBytes, DataType::FixedSizeBinary(_)) => Some(DataType::Binary),
            (Self::Int | Self::IntOrText, Null) => Some(Int64),
            (Self::Int | Self::IntOrText, given) if given.is_integer() => Some(Int64),
            (Self::Double, Null) => Some(Float64),
            (Self::Double, given) if given.is_numeric() => Some(Float64),
            (Self::Number, given) if given.is_numeric() => Some(given.clone()),
            (Self::Time | Self::TimeOrText, Null | Date32 | Date64) => Some(millis(&None)),
            (Self::Time | Self::TimeOrText, Timestamp(_, zone)) => Some(millis(zone)),
            (Self::TimeOrText, _) if text => Some(millis(&None)),
            _ => None,
        }
    }
}

/// One parameter of a function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    name: &'static str,
    kind: Kind,
}

macro_rules! parameters {
    ($($name:ident => $kind:ident),* $(,)?) => {$(
        #[doc = concat!("A parameter of kind [`Kind::", stringify!($kind), "`].")]
        pub(super) const fn $name(name: &'static str) -> Parameter {
            Parameter { name, kind: Kind::$kind }
        }
    )*};
}
parameters! {
    text => Text, text_or_bytes => TextOrBytes, int => Int, int_or_text => IntOrText, double => Double, number => Number,
    time => Time, time_or_text => TimeOrText, any => Any,
}

/// The type of a function's result.
#[derive(Clone)]
pub(super) enum Returns {
    /// Always the same.
    Is(DataType),
    /// Depends on the coerced types of the arguments.
    Of(fn(&[DataType]) -> Result<DataType>),
    /// Depends on them and on arguments that are constants.
    OfConstants(fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>),
}

impl Returns {
    pub(super) const TEXT: Self = Self::Is(DataType::Utf8);
    pub(super) const BYTES: Self = Self::Is(DataType::Binary);
    pub(super) const BOOL: Self = Self::Is(DataType::Boolean);
    pub(super) const INT: Self = Self::Is(DataType::Int32);
    pub(super) const BIGINT: Self = Self::Is(DataType::Int64);
    pub(super) const DOUBLE: Self = Self::Is(DataType::Float64);
    pub(super) const DATE: Self = Self::Is(DataType::Date32);
    pub(super) const TIMESTAMP: Self = Self::Is(DataType::Timestamp(TimeUnit::Millisecond, None));
}

/// What a function computes of the arguments of a batch.
pub(super) type Evaluate = fn(&Call<'_>) -> Result<ArrayRef>;

/// A scalar function as it is declared.
#[derive(Clone)]
pub(super) struct Scalar {
    name: &'static str,
    parameters: Vec<Parameter>,
    required: usize,
    variadic: bool,
    returns: Returns,
    volatility: Volatility,
    evaluate: Evaluate,
}

impl Scalar {
    /// A function of exactly these parameters, whose result depends on its arguments alone.
    pub(super) fn new(
        name: &'static str,
        parameters: impl Into<Vec<Parameter>>,
        returns: Returns,
        evaluate: Evaluate,
    ) -> Self {
        let parameters = parameters.into();
        Self {
            name,
            required: parameters.len(),
            parameters,
            variadic: false,
            returns,
            volatility: Volatility::Immutable,
            evaluate,
        }
    }

    /// The last `count` parameters may be left out.
    pub(super) fn optional(mut self, count: usize) -> Self {
        self.required = self.parameters.len() - count;
        self
    }

    /// The last parameter may be given any number of times.
    pub(super) fn variadic(mut self) -> Self {
        self.variadic = true;
        self
    }

    /// The result differs from call to call.
    pub(super) fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    /// The function, for the planner.
    pub(super) fn build(self, aliases: &[&str], context: &Arc<FunctionContext>) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(self.volatility);
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let context = Arc::clone(context);
        Arc::new(ScalarUDF::new_from_impl(Function { scalar: self, signature, aliases, context }))
    }
}

/// Arguments of one call on a batch.
pub(super) struct Call<'a> {
    name: &'static str,
    parameters: &'a [Parameter],
    args: &'a [ColumnarValue],
    /// Rows of the result.
    pub(super) rows: usize,
    /// Type of the result.
    pub(super) returns: &'a DataType,
    /// Clock and random numbers.
    pub(super) context: &'a FunctionContext,
}

impl<'a> Call<'a> {
    /// Name of the function.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Number of arguments.
    pub(super) fn len(&self) -> usize {
        self.args.len()
    }

    /// An argument as it came.
    pub(super) fn value(&self, index: usize) -> &'a ColumnarValue {
        &self.args[index]
    }

    /// An argument as an array with a value for each row.
    pub(super) fn array(&self, index: usize) -> Result<ArrayRef> {
        self.args[index].to_array(self.rows)
    }

    /// The scalar, if the argument is the same for all rows.
    pub(super) fn constant(&self, index: usize) -> Option<&'a ScalarValue> {
        match &self.args[index] {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        }
    }

    /// A STRING argument.
    pub(super) fn text(&self, index: usize) -> Result<TextArgument<'a>> {
        TextArgument::of(&self.args[index]).ok_or_else(|| self.mistyped(index))
    }

    /// A BIGINT argument.
    pub(super) fn int(&self, index: usize) -> Result<IntArgument<'a>> {
        IntArgument::of(&self.args[index]).ok_or_else(|| self.mistyped(index))
    }

    /// A BIGINT argument that may be left out, with its value then.
    pub(super) fn int_or(&self, index: usize, default: i64) -> Result<IntArgument<'a>> {
        if index < self.len() { self.int(index) } else { Ok(IntArgument::constant(Some(default))) }
    }

    /// A DOUBLE argument.
    pub(super) fn double(&self, index: usize) -> Result<NumberArgument<'a>> {
        NumberArgument::of(&self.args[index]).ok_or_else(|| self.mistyped(index))
    }

    /// A TIMESTAMP(3) or TIMESTAMP_LTZ(3) argument, in milliseconds.
    pub(super) fn time(&self, index: usize) -> Result<TimeArgument<'a>> {
        TimeArgument::of(&self.args[index]).ok_or_else(|| self.mistyped(index))
    }

    /// An argument that must be a constant, not NULL.
    pub(super) fn constant_text(&self, index: usize) -> Result<&'a str> {
        match self.constant(index) {
            Some(ScalarValue::Utf8(Some(text))) => Ok(text),
            _ => Err(self.wrong(index, "must be a string constant")),
        }
    }

    /// An error about one argument.
    pub(super) fn wrong(&self, index: usize, what: impl std::fmt::Display) -> DataFusionError {
        let name = parameter(self.parameters, index).map_or("", |parameter| parameter.name);
        let function = self.name.to_uppercase();
        DataFusionError::Execution(format!("{function}: argument {} ({name}) {what}", index + 1))
    }

    fn mistyped(&self, index: usize) -> DataFusionError {
        let expected = parameter(self.parameters, index).map_or("", |it| it.kind.expected());
        self.wrong(index, format!("is {}, expected {expected}", self.args[index].data_type()))
    }
}

fn parameter(parameters: &[Parameter], index: usize) -> Option<&Parameter> {
    parameters.get(index).or(parameters.last())
}

/// A declared function with what it runs with.
struct Function {
    scalar: Scalar,
    signature: Signature,
    aliases: Vec<String>,
    context: Arc<FunctionContext>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Function").field(&self.scalar.name).finish()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.scalar.name == other.scalar.name && Arc::ptr_eq(&self.context, &other.context)
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scalar.name.hash(state);
    }
}

impl Function {
    fn usage(&self) -> String {
        let mut usage = format!("{}(", self.scalar.name.to_uppercase());
        for (index, parameter) in self.scalar.parameters.iter().enumerate() {
            if index > 0 {
                usage.push_str(", ");
            }
            match index >= self.scalar.required {
                true => usage.push_str(&format!("[{}]", parameter.name)),
                false => usage.push_str(parameter.name),
            }
        }
        if self.scalar.variadic {
            usage.push_str(", ...");
        }
        usage.push(')');
        usage
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.scalar.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match &self.scalar.returns {
            Returns::Is(data_type) => Ok(data_type.clone()),
            Returns::Of(derive) => derive(arg_types),
            Returns::OfConstants(derive) => derive(arg_types, &vec![None; arg_types.len()]),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = match &self.scalar.returns {
            Returns::OfConstants(derive) => derive(&types, args.scalar_arguments)?,
            _ => self.return_type(&types)?,
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Scalar { name, parameters, required, variadic, .. } = &self.scalar;
        if given.len() < *required || (!variadic && given.len() > parameters.len()) {
            let count = given.len();
            let plural = if count == 1 { "" } else { "s" };
            return plan_err!("{} was given {count} argument{plural}", self.usage());
        }
        let mut coerced = Vec::with_capacity(given.len());
        for (index, given) in given.iter().enumerate() {
            let Some(Parameter { name: argument, kind }) = parameter(parameters, index) else {
                return plan_err!("{} takes no arguments", self.usage());
            };
            match kind.coerced(given) {
                Some(data_type) => coerced.push(data_type),
                None => {
                    return plan_err!(
                        "{}: argument {} ({argument}) is {}, expected {}; use CAST to convert it",
                        name.to_uppercase(),
                        index + 1,
                        super::type_name(given),
                        kind.expected()
                    );
                }
            }
        }
        Ok(coerced)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = self.scalar.volatility != Volatility::Volatile
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let call = Call {
            name: self.scalar.name,
            parameters: &self.scalar.parameters,
            args: &args.args,
            rows: if constant { 1 } else { args.number_rows },
            returns: args.return_field.data_type(),
            context: &self.context,
        };
        let result = (self.scalar.evaluate)(&call)?;
        // One value for any number of rows is the same for all of them, such as the present time.
        if result.len() == 1 && (constant || args.number_rows != 1) {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}
