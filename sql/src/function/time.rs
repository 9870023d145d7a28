//! Dates and times: reading, writing, parts of them, arithmetic.
//!
//! The time zone of a session is UTC: a TIMESTAMP_LTZ is shown, parsed and taken apart in it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, Date32Array, Int32Array, Int64Array, TimestampMillisecondArray};
use arrow_schema::{DataType, TimeUnit};
use chrono::{LocalResult, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::argument::{TextArgument, TimeArgument};
use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, any, int, int_or_text, text, time, time_or_text};
use super::text::written;
use super::time_format::{DAY, DEFAULT_PATTERN, Pattern, parse_date, parse_timestamp};
use super::time_unit::{UNITS, Unit};

/// A pattern argument: one for all rows, or compiled row by row.
struct Patterns<'a> {
    argument: TextArgument<'a>,
    current: Option<(&'a str, Pattern)>,
}

impl<'a> Patterns<'a> {
    fn of(call: &Call<'a>, index: usize) -> Result<Self> {
        let argument = match index < call.len() {
            true => call.text(index)?,
            false => TextArgument::Constant(Some(DEFAULT_PATTERN)),
        };
        Ok(Self { argument, current: None })
    }

    fn get(&mut self, call: &Call<'_>, index: usize, row: usize) -> Result<Option<&Pattern>> {
        let Some(text) = self.argument.get(row) else { return Ok(None) };
        if self.current.as_ref().is_none_or(|(known, _)| *known != text) {
            let pattern = Pattern::new(text).map_err(|error| call.wrong(index, error))?;
            self.current = Some((text, pattern));
        }
        Ok(self.current.as_ref().map(|(_, pattern)| pattern))
    }
}

fn beyond(call: &Call<'_>, index: usize, millis: i64) -> datafusion::common::DataFusionError {
    call.wrong(index, format!("is {millis} ms since 1970, beyond the years that can be told"))
}

fn formatted(call: &Call<'_>, times: impl Fn(usize) -> Option<i64>) -> Result<ArrayRef> {
    let mut patterns = Patterns::of(call, 1)?;
    written(call, |row, out| {
        let (Some(millis), Some(pattern)) = (times(row), patterns.get(call, 1, row)?) else {
            return Ok(false);
        };
        match pattern.format(millis, out)? {
            true => Ok(true),
            false => Err(beyond(call, 0, millis)),
        }
    })
}

fn date_format(call: &Call<'_>) -> Result<ArrayRef> {
    let times = call.time(0)?;
    formatted(call, |row| times.get(row))
}

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.int(0)?;
    formatted(call, |row| seconds.get(row).map(|seconds| seconds.saturating_mul(1000)))
}

/// The times that texts tell; `None` where they tell none.
fn parsed<'a>(call: &'a Call<'_>) -> Result<impl FnMut(usize) -> Result<Option<i64>> + use<'a>> {
    let texts = call.text(0)?;
    let mut patterns = Patterns::of(call, 1)?;
    let default = call.len() < 2;
    Ok(move |row| {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(call, 1, row)?) else {
            return Ok(None);
        };
        Ok(if default { parse_timestamp(text) } else { pattern.parse(text) })
    })
}

fn timestamps(call: &Call<'_>, of: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let times = (0..call.rows).map(of).collect::<Result<TimestampMillisecondArray>>()?;
    let zone = match call.returns {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    Ok(Arc::new(times.with_timezone_opt(zone)))
}

fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    timestamps(call, parsed(call)?)
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let mut times = parsed(call)?;
    let texts = call.text(0)?;
    let default = call.len() < 2;
    let days = (0..call.rows).map(|row| {
        let days = match default {
            true => texts.get(row).and_then(parse_date),
            false => times(row)?.map(|millis| millis.div_euclid(DAY)),
        };
        Ok(days.and_then(|days| i32::try_from(days).ok()))
    });
    Ok(Arc::new(days.collect::<Result<Date32Array>>()?))
}

fn to_timestamp_ltz(call: &Call<'_>) -> Result<ArrayRef> {
    if call.value(0).data_type() == DataType::Int64 {
        let (numbers, precisions) = (call.int(0)?, call.int_or(1, 3)?);
        return timestamps(call, |row| match (numbers.get(row), precisions.get(row)) {
            (Some(seconds), Some(0)) => match seconds.checked_mul(1000) {
                Some(millis) => Ok(Some(millis)),
                None => Err(call.wrong(0, format!("is {seconds} s, beyond what can be told"))),
            },
            (Some(millis), Some(3)) => Ok(Some(millis)),
            (_, Some(other)) if other != 0 && other != 3 => {
                Err(call.wrong(1, format!("is {other}; it is 0 (seconds) or 3 (milliseconds)")))
            }
            _ => Ok(None),
        });
    }
    let mut times = parsed(call)?;
    if call.len() < 3 {
        return timestamps(call, times);
    }
    let mut zones = Zones::of(call, 2)?;
    timestamps(call, |row| match (times(row)?, zones.get(call, 2, row)?) {
        (Some(local), Some(zone)) => Ok(in_zone(local, zone)),
        _ => Ok(None),
    })
}

fn to_timestamp_ltz_type(given: &[DataType]) -> Result<DataType> {
    match given {
        [DataType::Int64] | [DataType::Int64, DataType::Int64] => {}
        [DataType::Utf8, rest @ ..] if rest.iter().all(|it| *it == DataType::Utf8) => {}
        _ => {
            return plan_err!(
                "TO_TIMESTAMP_LTZ takes (BIGINT, [precision INT]) or (STRING, [pattern STRING], [zone STRING])"
            );
        }
    }
    Ok(ltz())
}

/// TIMESTAMP_LTZ(3).
pub(super) fn ltz() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() == 0 {
        return Ok(Arc::new(Int64Array::from_value(
            call.context.now().div_euclid(1000),
            call.rows,
        )));
    }
    let mut times = parsed(call)?;
    let seconds = (0..call.rows).map(|row| Ok(times(row)?.map(|millis| millis.div_euclid(1000))));
    Ok(Arc::new(seconds.collect::<Result<Int64Array>>()?))
}

/// Time zones by name.
struct Zones<'a> {
    argument: TextArgument<'a>,
    current: Option<(&'a str, Tz)>,
}

impl<'a> Zones<'a> {
    fn of(call: &Call<'a>, index: usize) -> Result<Self> {
        Ok(Self { argument: call.text(index)?, current: None })
    }

    /// The zone of a row; `None` is NULL.
    fn get(&mut self, call: &Call<'_>, index: usize, row: usize) -> Result<Option<Tz>> {
        let Some(name) = self.argument.get(row) else { return Ok(None) };
        if self.current.is_none_or(|(known, _)| known != name) {
            let zone = name.parse().map_err(|_| {
                let what = format!(
                    "is '{name}', which is no time zone; they are named as 'Europe/Paris' is"
                );
                call.wrong(index, what)
            })?;
            self.current = Some((name, zone));
        }
        Ok(self.current.map(|(_, zone)| zone))
    }
}

/// The instant at which the clocks of a zone show a time; in a gap of daylight saving time, the time after it.
fn in_zone(local: i64, zone: Tz) -> Option<i64> {
    let time = chrono::DateTime::from_timestamp_millis(local)?.naive_utc();
    match zone.from_local_datetime(&time) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
            Some(time.timestamp_millis())
        }
        LocalResult::None => {
            let earlier = time - chrono::TimeDelta::hours(3);
            let offset = zone.offset_from_local_datetime(&earlier).earliest()?;
            let seconds = i64::from(chrono::Offset::fix(&offset).local_minus_utc());
            Some(local - seconds * 1000)
        }
    }
}

fn convert_tz(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    let (mut from, mut to) = (Zones::of(call, 1)?, Zones::of(call, 2)?);
    let pattern = Pattern::new(DEFAULT_PATTERN).map_err(|error| call.wrong(0, error))?;
    written(call, |row, out| {
        let (Some(from), Some(to)) = (from.get(call, 1, row)?, to.get(call, 2, row)?) else {
            return Ok(false);
        };
        let local = texts.get(row).and_then(parse_timestamp);
        let Some(instant) = local.and_then(|local| in_zone(local, from)) else { return Ok(false) };
        let Some(utc) = chrono::DateTime::from_timestamp_millis(instant) else { return Ok(false) };
        let shown = utc.with_timezone(&to).naive_local().and_utc().timestamp_millis();
        Ok(pattern.format(shown, out)?)
    })
}

fn unit(call: &Call<'_>, index: usize) -> Result<Unit> {
    let name = call.constant_text(index)?;
    Unit::of(name).ok_or_else(|| {
        call.wrong(index, format!("is {name}, which is no unit of time; units are {UNITS}"))
    })
}

fn extracted(call: &Call<'_>, unit: Unit, index: usize) -> Result<ArrayRef> {
    let times = call.time(index)?;
    if let (TimeArgument::Column(column), Unit::Hour | Unit::Minute | Unit::Second) = (&times, unit)
    {
        // These cannot fail, so the loop may run over NULLs.
        let values = column.unary::<_, arrow_array::types::Int64Type>(|millis| {
            unit.extract(millis).unwrap_or_default()
        });
        return Ok(Arc::new(values));
    }
    let values = (0..call.rows).map(|row| match times.get(row) {
        Some(millis) => match unit.extract(millis) {
            Some(value) => Ok(Some(value)),
            None => Err(beyond(call, index, millis)),
        },
        None => Ok(None),
    });
    Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    extracted(call, unit(call, 0)?, 1)
}

fn timestampdiff(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = unit(call, 0)?;
    let (from, to) = (call.time(1)?, call.time(2)?);
    let values = (0..call.rows).map(|row| {
        let (Some(from), Some(to)) = (from.get(row), to.get(row)) else { return Ok(None) };
        match unit.between(from, to).map(i32::try_from) {
            Some(Ok(difference)) => Ok(Some(difference)),
            Some(Err(_)) => Err(call.wrong(
                2,
                "is so far away that the difference does not fit into an INT; take a larger unit",
            )),
            None => Err(call.wrong(0, format!("is not a unit of differences; units are {UNITS}"))),
        }
    });
    Ok(Arc::new(values.collect::<Result<Int32Array>>()?))
}

fn timestampadd(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = unit(call, 0)?;
    let counts = call.int(1)?;
    let times = call.value(2).cast_to(&millis_like(&call.value(2).data_type()), None)?;
    let times = TimeArgument::of(&times).ok_or_else(|| call.wrong(2, "is no time"))?;
    let later = |row| {
        let (Some(count), Some(millis)) = (counts.get(row), times.get(row)) else {
            return Ok(None);
        };
        match unit.add(count, millis) {
            Some(later) => Ok(Some(later)),
            None => Err(call.wrong(1, format!("is {count}, which leads beyond what can be told"))),
        }
    };
    if *call.returns == DataType::Date32 {
        let days = (0..call.rows).map(|row| {
            Ok(later(row)?.and_then(|millis| i32::try_from(millis.div_euclid(DAY)).ok()))
        });
        return Ok(Arc::new(days.collect::<Result<Date32Array>>()?));
    }
    timestamps(call, later)
}

/// In milliseconds, with the zone of a TIMESTAMP_LTZ.
fn millis_like(given: &DataType) -> DataType {
    match given {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        _ => DataType::Timestamp(TimeUnit::Millisecond, None),
    }
}

fn timestampadd_type(given: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let unit = match constants.first() {
        Some(Some(ScalarValue::Utf8(Some(name)))) => Unit::of(name),
        _ => None,
    };
    let whole_days = unit.is_some_and(|unit| unit.millis().is_none_or(|millis| millis >= DAY));
    match given.get(2) {
        Some(given @ DataType::Timestamp(..)) => Ok(millis_like(given)),
        Some(DataType::Date32) if whole_days => Ok(DataType::Date32),
        Some(DataType::Date32 | DataType::Null) => Ok(millis_like(&DataType::Null)),
        Some(other) => plan_err!(
            "TIMESTAMPADD: argument 3 (time) is {}, expected a DATE or TIMESTAMP",
            super::type_name(other)
        ),
        None => plan_err!("TIMESTAMPADD takes a unit, a count and a time"),
    }
}

/// Rounds times down or up to a unit. A DATE stays one.
pub(super) fn rounded(call: &Call<'_>, up: bool) -> Result<ArrayRef> {
    let unit = unit(call, 1)?;
    let given = call.value(0).data_type();
    let times = call.value(0).cast_to(&millis_like(&given), None)?;
    let round = |millis: i64| {
        let rounded = if up { unit.ceil(millis) } else { unit.floor(millis) };
        rounded.ok_or_else(|| match unit.floor(0) {
            None => {
                call.wrong(1, format!("is not a unit that times are rounded to; units are {UNITS}"))
            }
            Some(_) => beyond(call, 0, millis),
        })
    };
    let times = times.to_array(call.rows)?;
    let times = times.as_primitive::<TimestampMillisecondType>();
    let rounded: TimestampMillisecondArray = times.try_unary(round)?;
    if given == DataType::Date32 {
        let days = rounded.unary_opt::<_, arrow_array::types::Date32Type>(|millis| {
            i32::try_from(millis.div_euclid(DAY)).ok()
        });
        return Ok(Arc::new(days));
    }
    let zone = match &given {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    Ok(Arc::new(rounded.with_timezone_opt(zone)))
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    macro_rules! part {
        ($name:literal, $unit:ident) => {
            Scalar::new($name, [time("time")], Returns::BIGINT, |call| {
                extracted(call, Unit::$unit, 0)
            })
            .build(&[], context)
        };
    }
    let pattern = || text("pattern");
    vec![
        Scalar::new("date_format", [time_or_text("time"), pattern()], Returns::TEXT, date_format)
            .build(&[], context),
        Scalar::new("from_unixtime", [int("seconds"), pattern()], Returns::TEXT, from_unixtime)
            .optional(1)
            .build(&[], context),
        Scalar::new("to_timestamp", [text("string"), pattern()], Returns::TIMESTAMP, to_timestamp)
            .optional(1)
            .build(&[], context),
        Scalar::new("to_date", [text("string"), pattern()], Returns::DATE, to_date)
            .optional(1)
            .build(&[], context),
        Scalar::new(
            "to_timestamp_ltz",
            [int_or_text("value"), int_or_text("precision or pattern"), text("zone")],
            Returns::Of(to_timestamp_ltz_type),
            to_timestamp_ltz,
        )
        .optional(2)
        .build(&[], context),
        Scalar::new("unix_timestamp", [text("string"), pattern()], Returns::BIGINT, unix_timestamp)
            .optional(2)
            .volatile()
            .build(&[], context),
        Scalar::new(
            "convert_tz",
            [text("string"), text("from zone"), text("to zone")],
            Returns::TEXT,
            convert_tz,
        )
        .build(&[], context),
        Scalar::new("extract", [text("unit"), time("time")], Returns::BIGINT, extract)
            .build(&[], context),
        Scalar::new(
            "timestampdiff",
            [text("unit"), time("from"), time("to")],
            Returns::INT,
            timestampdiff,
        )
        .build(&[], context),
        Scalar::new(
            "timestampadd",
            [text("unit"), int("count"), any("time")],
            Returns::OfConstants(timestampadd_type),
            timestampadd,
        )
        .build(&[], context),
        part!("year", Year),
        part!("quarter", Quarter),
        part!("month", Month),
        part!("week", Week),
        part!("dayofyear", DayOfYear),
        part!("dayofmonth", Day),
        part!("dayofweek", DayOfWeek),
        part!("hour", Hour),
        part!("minute", Minute),
        part!("second", Second),
    ]
}
