//! Numbers: rounding, remainders, logarithms. Results keep the type of what they are computed from where Flink's do.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type,
};
use arrow_array::{Array, ArrayRef, Float64Array, PrimitiveArray};
use arrow_schema::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::argument::IntArgument;
use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, any, double, int, number};

/// How a number loses digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// To the nearest; a half away from zero.
    HalfUp,
    /// Towards zero.
    Down,
    /// To the next smaller integer.
    Floor,
    /// To the next greater integer.
    Ceil,
}

impl Rounding {
    /// `value / unit`, in whole units.
    fn divided(self, value: i128, unit: i128) -> i128 {
        let (quotient, rest) = (value / unit, value % unit);
        let away = match self {
            Self::HalfUp => rest.unsigned_abs() >= unit.unsigned_abs() - rest.unsigned_abs(),
            Self::Down => false,
            Self::Floor => rest < 0,
            Self::Ceil => rest > 0,
        };
        if away { quotient + value.signum() } else { quotient }
    }

    /// A DOUBLE with `digits` digits behind the point, judged by the decimal number that it is shown as: 1.005 is rounded to 1.01, though the nearest
    /// DOUBLE lies below it.
    fn double(self, value: f64, digits: i64, shown: &mut String) -> f64 {
        match self {
            Self::Floor => return value.floor(),
            Self::Ceil => return value.ceil(),
            _ => {}
        }
        if !value.is_finite() {
            return value;
        }
        shown.clear();
        let parts = write!(shown, "{value:e}").ok().and_then(|()| shown.split_once('e'));
        let Some((mantissa, exponent)) = parts else { return value };
        let behind_point = mantissa.split_once('.').map_or(0, |(_, digits)| digits.len() as i64);
        let scale = behind_point - exponent.parse::<i64>().unwrap_or(0);
        if digits >= scale {
            return value;
        }
        if scale - digits > 38 {
            return 0.0_f64.copysign(value);
        }
        let unscaled = mantissa
            .bytes()
            .filter(u8::is_ascii_digit)
            .fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
        let whole = self.divided(unscaled, 10_i128.pow((scale - digits) as u32)) as f64;
        let power = 10_f64.powi(digits.unsigned_abs().min(400) as i32);
        (if digits >= 0 { whole / power } else { whole * power }).copysign(value)
    }
}

/// Digits that are kept behind the point.
fn digits(call: &Call<'_>) -> Result<IntArgument<'static>> {
    match call.len() {
        1 => Ok(IntArgument::constant(Some(0))),
        _ => match call.constant(1) {
            Some(ScalarValue::Int64(digits)) => Ok(IntArgument::constant(*digits)),
            _ => Err(call.wrong(1, "must be a constant")),
        },
    }
}

fn integers<T>(
    call: &Call<'_>,
    array: &PrimitiveArray<T>,
    digits: i64,
    how: Rounding,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64> + TryFrom<i64>,
{
    if digits >= 0 {
        return Ok(Arc::new(array.clone()));
    }
    let Some(unit) = u32::try_from(-digits).ok().and_then(|it| 10_i128.checked_pow(it)) else {
        return Ok(Arc::new(array.unary::<_, T>(|_| T::Native::default())));
    };
    let rounded: PrimitiveArray<T> = array.try_unary(|value| {
        let value: i64 = value.into();
        let rounded = how.divided(value.into(), unit) * unit;
        let rounded = i64::try_from(rounded).ok().and_then(|it| T::Native::try_from(it).ok());
        rounded.ok_or_else(|| {
            call.wrong(0, format!("is {value}, whose rounded value does not fit its type"))
        })
    })?;
    Ok(Arc::new(rounded))
}

fn decimals(
    call: &Call<'_>,
    array: &PrimitiveArray<Decimal128Type>,
    digits: i64,
    how: Rounding,
) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = call.returns else {
        return Err(call.wrong(0, "is a DECIMAL, whose result is none"));
    };
    let dropped = i64::from(array.scale()) - digits;
    if dropped <= 0 {
        return Ok(Arc::new(array.clone()));
    }
    // Rounding to tens leaves zeros in front of the point.
    let Some(unit) = u32::try_from(dropped).ok().and_then(|it| 10_i128.checked_pow(it)) else {
        let zeros = array.unary::<_, Decimal128Type>(|_| 0);
        return Ok(Arc::new(zeros.with_precision_and_scale(*precision, *scale)?));
    };
    let zeros = u32::try_from(-digits).map_or(1, |zeros| 10_i128.saturating_pow(zeros));
    let rounded =
        array.unary::<_, Decimal128Type>(|value| how.divided(value, unit).saturating_mul(zeros));
    let rounded = rounded.with_precision_and_scale(*precision, *scale)?;
    rounded.validate_decimal_precision(*precision)?;
    Ok(Arc::new(rounded))
}

fn rounded(call: &Call<'_>, how: Rounding) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let Some(digits) = digits(call)?.get(0) else {
        return Ok(arrow_array::new_null_array(call.returns, call.rows));
    };
    let mut shown = String::new();
    Ok(match array.data_type() {
        DataType::Int8 => integers::<Int8Type>(call, array.as_primitive(), digits, how)?,
        DataType::Int16 => integers::<Int16Type>(call, array.as_primitive(), digits, how)?,
        DataType::Int32 => integers::<Int32Type>(call, array.as_primitive(), digits, how)?,
        DataType::Int64 => integers::<Int64Type>(call, array.as_primitive(), digits, how)?,
        DataType::Decimal128(..) => decimals(call, array.as_primitive(), digits, how)?,
        DataType::Float32 => {
            let mut round = |value: f32| how.double(value.into(), digits, &mut shown) as f32;
            let array = array.as_primitive::<Float32Type>();
            let mut out = PrimitiveArray::<Float32Type>::builder(call.rows);
            array.iter().for_each(|value| out.append_option(value.map(&mut round)));
            Arc::new(out.finish())
        }
        DataType::Float64 => {
            let mut round = |value: f64| how.double(value, digits, &mut shown);
            let array = array.as_primitive::<Float64Type>();
            let mut out = PrimitiveArray::<Float64Type>::builder(call.rows);
            array.iter().for_each(|value| out.append_option(value.map(&mut round)));
            Arc::new(out.finish())
        }
        DataType::Null => arrow_array::new_null_array(call.returns, call.rows),
        other => return Err(call.wrong(0, format!("is {other}, which cannot be rounded"))),
    })
}

/// The type of a number with as many digits behind the point as the second argument says.
fn rounded_type(given: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let digits = match (given.len(), constants.get(1)) {
        (1, _) => Some(0),
        (_, Some(Some(ScalarValue::Int64(digits)))) => *digits,
        _ => None,
    };
    match (given.first(), digits) {
        (Some(DataType::Decimal128(precision, scale)), Some(digits)) => {
            if digits >= i64::from(*scale) {
                return Ok(DataType::Decimal128(*precision, *scale));
            }
            let kept = digits.max(0) as i8;
            let whole = i16::from(*precision) - i16::from(*scale) + 1 + i16::from(kept);
            Ok(DataType::Decimal128(whole.clamp(1, 38) as u8, kept))
        }
        (Some(DataType::Null), _) => Ok(DataType::Float64),
        (Some(given), _)
            if given.is_unsigned_integer()
                || matches!(given, DataType::Decimal256(..) | DataType::Float16) =>
        {
            plan_err!("{} cannot be rounded; use CAST to convert it", super::type_name(given))
        }
        (Some(given), _) => Ok(given.clone()),
        (None, _) => plan_err!("a number is needed"),
    }
}

fn whole(call: &Call<'_>, how: Rounding) -> Result<ArrayRef> {
    if call.len() == 2 {
        return super::time::rounded(call, how == Rounding::Ceil);
    }
    rounded(call, how)
}

fn whole_type(given: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    match given {
        [number] if number.is_numeric() || *number == DataType::Null => {
            rounded_type(given, constants)
        }
        [DataType::Date32, DataType::Utf8] => Ok(DataType::Date32),
        [DataType::Timestamp(_, zone), DataType::Utf8] => {
            Ok(DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, zone.clone()))
        }
        [other] => plan_err!(
            "FLOOR and CEIL take a number, or a time and a unit (FLOOR(time TO HOUR)), not {}",
            super::type_name(other)
        ),
        [other, ..] => plan_err!(
            "FLOOR and CEIL to a unit take a DATE or TIMESTAMP, not {}",
            super::type_name(other)
        ),
        [] => plan_err!("FLOOR and CEIL take an argument"),
    }
}

/// The sign, in the type of the number.
fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    macro_rules! signs {
        ($kind:ty, $sign:expr) => {
            Arc::new(array.as_primitive::<$kind>().unary::<_, $kind>($sign))
        };
    }
    Ok(match array.data_type() {
        DataType::Int8 => signs!(Int8Type, i8::signum),
        DataType::Int16 => signs!(Int16Type, i16::signum),
        DataType::Int32 => signs!(Int32Type, i32::signum),
        DataType::Int64 => signs!(Int64Type, i64::signum),
        DataType::Float32 => signs!(Float32Type, |it| if it == 0.0 { it } else { it.signum() }),
        DataType::Float64 => signs!(Float64Type, |it| if it == 0.0 { it } else { it.signum() }),
        DataType::Decimal128(precision, scale) => {
            let one = 10_i128.saturating_pow(u32::try_from(*scale).unwrap_or(0));
            let array = array.as_primitive::<Decimal128Type>();
            let signs = array.unary::<_, Decimal128Type>(|it| it.signum() * one);
            Arc::new(signs.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Null => arrow_array::new_null_array(call.returns, call.rows),
        other => return Err(call.wrong(0, format!("is {other}, expected a number"))),
    })
}

fn same_number(given: &[DataType]) -> Result<DataType> {
    match given {
        [DataType::Null] => Ok(DataType::Float64),
        [number] => Ok(number.clone()),
        _ => plan_err!("a number is needed"),
    }
}

fn remainder(call: &Call<'_>) -> Result<ArrayRef> {
    use datafusion::arrow::compute::kernels::numeric::rem;
    let (left, right) = (call.array(0)?, call.array(1)?);
    // In the type in which the remainder can be told exactly; then in that of the divisor, into which it fits.
    let common = datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer::new(
        left.data_type(),
        &datafusion::logical_expr::Operator::Modulo,
        right.data_type(),
    )
    .get_input_types()?;
    let left = arrow_cast::cast(&left, &common.0)?;
    let right = arrow_cast::cast(&right, &common.1)?;
    let result = rem(&left, &right)?;
    Ok(arrow_cast::cast(&result, call.returns)?)
}

fn remainder_type(given: &[DataType]) -> Result<DataType> {
    match given {
        [DataType::Null, other] | [other, DataType::Null] => Ok(other.clone()),
        // As in Flink, MOD(BIGINT, INT) is an INT.
        [left, right] if left.is_integer() && right.is_integer() => Ok(right.clone()),
        [left, right] => datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer::new(
            left,
            &datafusion::logical_expr::Operator::Modulo,
            right,
        )
        .get_result_type(),
        _ => plan_err!("MOD takes two numbers"),
    }
}

fn logarithm(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() == 1 {
        let numbers = call.double(0)?;
        return doubles(call, |row| numbers.get(row).map(f64::ln));
    }
    let (bases, numbers) = (call.double(0)?, call.double(1)?);
    doubles(call, |row| Some(numbers.get(row)?.ln() / bases.get(row)?.ln()))
}

fn doubles(call: &Call<'_>, of: impl FnMut(usize) -> Option<f64>) -> Result<ArrayRef> {
    Ok(Arc::new((0..call.rows).map(of).collect::<Float64Array>()))
}

fn power(call: &Call<'_>) -> Result<ArrayRef> {
    let (bases, exponents) = (call.double(0)?, call.double(1)?);
    doubles(call, |row| Some(bases.get(row)?.powf(exponents.get(row)?)))
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    let of_double = |name, evaluate| {
        Scalar::new(name, [double("number")], Returns::DOUBLE, evaluate).build(&[], context)
    };
    vec![
        Scalar::new(
            "round",
            [number("number"), int("digits")],
            Returns::OfConstants(rounded_type),
            |call| rounded(call, Rounding::HalfUp),
        )
        .optional(1)
        .build(&[], context),
        Scalar::new(
            "truncate",
            [number("number"), int("digits")],
            Returns::OfConstants(rounded_type),
            |call| rounded(call, Rounding::Down),
        )
        .optional(1)
        .build(&["trunc"], context),
        Scalar::new(
            "floor",
            [any("value"), super::scalar::text("unit")],
            Returns::OfConstants(whole_type),
            |call| whole(call, Rounding::Floor),
        )
        .optional(1)
        .build(&[], context),
        Scalar::new(
            "ceil",
            [any("value"), super::scalar::text("unit")],
            Returns::OfConstants(whole_type),
            |call| whole(call, Rounding::Ceil),
        )
        .optional(1)
        .build(&["ceiling"], context),
        Scalar::new("sign", [number("number")], Returns::Of(same_number), sign).build(&[], context),
        Scalar::new(
            "mod",
            [number("dividend"), number("divisor")],
            Returns::Of(remainder_type),
            remainder,
        )
        .build(&[], context),
        Scalar::new(
            "log",
            [double("base or number"), double("number")],
            Returns::DOUBLE,
            logarithm,
        )
        .optional(1)
        .build(&[], context),
        Scalar::new("power", [double("base"), double("exponent")], Returns::DOUBLE, power)
            .build(&["pow"], context),
        of_double("ln", |call| {
            let numbers = call.double(0)?;
            doubles(call, |row| numbers.get(row).map(f64::ln))
        }),
        Scalar::new("e", [], Returns::DOUBLE, |call| doubles(call, |_| Some(std::f64::consts::E)))
            .build(&[], context),
    ]
}

#[cfg(test)]
mod tests;
