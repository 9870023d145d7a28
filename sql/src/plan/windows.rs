//! Windowing functions in FROM.

use arrow_schema::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, TableAlias,
    TableFactor,
};
use std::sync::Arc;

use super::{WindowKind, WindowTvf};
use crate::parser::TABLE_ARGUMENT;

/// Plans `TUMBLE`, `HOP`, `CUMULATE` and `SESSION` over a table, with or without `TABLE(..)` around them.
#[derive(Debug)]
pub(super) struct WindowPlanner;

const DAY: i64 = 86_400_000;

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if let TableFactor::Table { sample: Some(_), .. }
        | TableFactor::Derived { sample: Some(_), .. } = &relation
        {
            return plan_err!(
                "TABLESAMPLE is not supported: keep some of the rows by a condition, such as RAND() < 0.1"
            );
        }
        let Some((function, arguments, alias)) = windowing_call(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let call = Call::read(&function, arguments)?;
        let plan = call.plan(context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The function, its arguments and the alias, if a relation is a windowing function.
fn windowing_call(
    relation: &TableFactor,
) -> Option<(String, Vec<FunctionArg>, Option<TableAlias>)> {
    let (name, arguments, alias) = match relation {
        TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => {
            let FunctionArguments::List(list) = &function.args else { return None };
            (&function.name, &list.args, alias)
        }
        TableFactor::Table { name, alias, args: Some(arguments), .. } => {
            (name, &arguments.args, alias)
        }
        _ => return None,
    };
    let [part] = name.0.as_slice() else { return None };
    let function = part.as_ident()?.value.to_ascii_uppercase();
    matches!(function.as_str(), "TUMBLE" | "HOP" | "CUMULATE" | "SESSION")
        .then(|| (function, arguments.clone(), alias.clone()))
}

/// A windowing function with its arguments told apart.
struct Call {
    function: String,
    table: ast::Expr,
    partition_by: Vec<ast::Expr>,
    time: Ident,
    lengths: Vec<ast::Expr>,
}

impl Call {
    fn read(function: &str, arguments: Vec<FunctionArg>) -> Result<Self> {
        let names: &[&str] = match function {
            "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
            "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
            "CUMULATE" => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
            _ => &["DATA", "TIMECOL", "GAP"],
        };
        let usage = || format!("{function} takes ({})", names.join(", "));
        let mut places: Vec<Option<ast::Expr>> = vec![None; names.len()];
        for (at, argument) in arguments.into_iter().enumerate() {
            let (place, expr) = match argument {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    let place =
                        names.iter().position(|known| known.eq_ignore_ascii_case(&name.value));
                    match place {
                        Some(place) => (place, expr),
                        None => return plan_err!("{}, not `{}`", usage(), name.value),
                    }
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if at < names.len() => (at, expr),
                other => return plan_err!("{}, not `{other}`", usage()),
            };
            places[place] = Some(expr);
        }
        let mut places = places.into_iter();
        let (Some(table), Some(time)) = (places.next().flatten(), places.next().flatten()) else {
            return plan_err!("{}, the first two being TABLE t and DESCRIPTOR(time)", usage());
        };
        let (table, partition_by) = match call_arguments(&table, TABLE_ARGUMENT) {
            Some(mut arguments) if !arguments.is_empty() => (arguments.remove(0), arguments),
            _ if matches!(table, ast::Expr::Subquery(_)) => (table, Vec::new()),
            _ => return plan_err!("{}: `{table}` is not TABLE t", usage()),
        };
        let time = match call_arguments(&time, "DESCRIPTOR").as_deref() {
            Some([ast::Expr::Identifier(time)]) => time.clone(),
            _ => return plan_err!("{}: `{time}` is not DESCRIPTOR(a column)", usage()),
        };
        let mut lengths: Vec<Option<ast::Expr>> = places.collect();
        while lengths.last().is_some_and(Option::is_none) {
            lengths.pop();
        }
        match lengths.into_iter().collect::<Option<Vec<_>>>() {
            Some(lengths) => {
                Ok(Self { function: function.to_owned(), table, partition_by, time, lengths })
            }
            None => plan_err!("{}: one in the middle is missing", usage()),
        }
    }

    fn plan(self, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let input = context.plan(self.rows()?)?;
        let schema = input.schema().clone();
        let time = context.sql_to_expr(ast::Expr::Identifier(self.time.clone()), &schema)?;
        let mut partition_by = Vec::new();
        for key in self.partition_by.clone() {
            let key = context.sql_to_expr(key, &schema)?;
            if !matches!(key, Expr::Column(_)) {
                return plan_err!("PARTITION BY of a session takes columns, and {key} is none");
            }
            partition_by.push(key);
        }
        let mut lengths = Vec::new();
        for length in self.lengths.clone() {
            lengths.push(milliseconds(&context.sql_to_expr(length, &DFSchema::empty())?)?);
        }
        let kind = self.kind(&lengths)?;
        if !matches!(kind, WindowKind::Session { .. }) && !partition_by.is_empty() {
            return plan_err!(
                "only SESSION takes PARTITION BY; the other windows are the same for all keys"
            );
        }
        let node = WindowTvf::try_new(Arc::new(input), kind, time, partition_by)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The table argument as something that FROM could hold.
    fn rows(&self) -> Result<TableFactor> {
        let name = match &self.table {
            ast::Expr::CompoundIdentifier(parts) => ObjectName::from(parts.clone()),
            ast::Expr::Identifier(part) => ObjectName::from(vec![part.clone()]),
            ast::Expr::Subquery(query) => {
                return Ok(TableFactor::Derived {
                    lateral: false,
                    subquery: query.clone(),
                    alias: None,
                    sample: None,
                });
            }
            other => return plan_err!("`{other}` is not a table"),
        };
        Ok(TableFactor::Table {
            name,
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        })
    }

    fn kind(&self, lengths: &[i64]) -> Result<WindowKind> {
        let kind = match (self.function.as_str(), lengths) {
            ("TUMBLE", [size]) => WindowKind::Tumble { size: *size, offset: 0 },
            ("TUMBLE", [size, offset]) => WindowKind::Tumble { size: *size, offset: *offset },
            ("HOP", [slide, size]) => WindowKind::Hop { slide: *slide, size: *size, offset: 0 },
            ("HOP", [slide, size, offset]) => {
                WindowKind::Hop { slide: *slide, size: *size, offset: *offset }
            }
            ("CUMULATE", [step, size]) => {
                WindowKind::Cumulate { step: *step, size: *size, offset: 0 }
            }
            ("CUMULATE", [step, size, offset]) => {
                WindowKind::Cumulate { step: *step, size: *size, offset: *offset }
            }
            ("SESSION", [gap]) => WindowKind::Session { gap: *gap },
            (function, _) => {
                return plan_err!(
                    "{function} was given {} lengths; TUMBLE takes a size, HOP a slide and a size, CUMULATE a step and a size, \
                     SESSION a gap",
                    lengths.len()
                );
            }
        };
        let positive = match kind {
            WindowKind::Tumble { size, .. } => size,
            WindowKind::Hop { slide: a, size: b, .. }
            | WindowKind::Cumulate { step: a, size: b, .. } => a.min(b),
            WindowKind::Session { gap } => gap,
        };
        if positive <= 0 {
            return plan_err!("the lengths of {} must be longer than nothing", self.function);
        }
        if let WindowKind::Cumulate { step, size, .. } = kind
            && size % step != 0
        {
            return plan_err!(
                "the size of CUMULATE ({size} ms) must be a multiple of its step ({step} ms)"
            );
        }
        Ok(kind)
    }
}

/// The arguments of a call of this name, if an expression is one.
fn call_arguments(expr: &ast::Expr, name: &str) -> Option<Vec<ast::Expr>> {
    let ast::Expr::Function(function) = expr else { return None };
    let [part] = function.name.0.as_slice() else { return None };
    if !part.as_ident()?.value.eq_ignore_ascii_case(name) {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

/// The length of an interval of days or less.
fn milliseconds(length: &Expr) -> Result<i64> {
    let Expr::Literal(value, _) = length else {
        return plan_err!("`{length}` is not an interval such as INTERVAL '5' SECOND");
    };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            let nanos = interval.nanoseconds;
            if nanos % 1_000_000 != 0 {
                return plan_err!("windows are measured in whole milliseconds, not in `{length}`");
            }
            Ok(i64::from(interval.days) * DAY + nanos / 1_000_000)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            Ok(i64::from(interval.days) * DAY + i64::from(interval.milliseconds))
        }
        ScalarValue::IntervalMonthDayNano(Some(_)) | ScalarValue::IntervalYearMonth(Some(_)) => {
            plan_err!("a window of months has no fixed length: give it days")
        }
        other => plan_err!(
            "`{length}` is {}, not an interval such as INTERVAL '5' SECOND",
            match other.data_type() {
                DataType::Utf8 => "a text".to_owned(),
                data_type => data_type.to_string(),
            }
        ),
    }
}
