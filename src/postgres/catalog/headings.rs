//! What the columns of a question's answer are called: as PostgreSQL calls them.
//!
//! DataFusion wants every column to have a name of its own. One that would be there twice gets a mark in front of its name, which is taken away
//! again where the answer goes out.

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, Value};

use super::emptiness::last;

/// Stands around the number in a mark.
const MARK: &str = "__";

/// Names the columns of a SELECT that have no name, and marks those that are there twice.
pub(super) fn name_columns(select: &mut Select) {
    let is_wildcard = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    let with_others = select.projection.iter().any(is_wildcard) && select.projection.len() > 1;
    let mut taken: Vec<String> = Vec::new();
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            taken.push(alias.value.clone());
        }
    }
    let mut aliases: Vec<String> = Vec::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = name_of(expr);
                let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let twice = with_others || taken.contains(&name);
                taken.push(name.clone());
                if twice || !is_column {
                    let alias = if twice { marked(place, &name) } else { name };
                    let (expr, alias) = (expr.clone(), Ident::with_quote('"', alias));
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                if aliases.contains(&alias.value) {
                    *alias = Ident::with_quote('"', marked(place, &alias.value));
                } else {
                    aliases.push(alias.value.clone());
                }
            }
            _ => {}
        }
    }
}

/// The names of a query's columns; `None` if it does not say them.
pub(super) fn names(query: &Query) -> Option<Vec<String>> {
    let select = first_select(&query.body)?;
    let name = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => Some(name_of(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    };
    select.projection.iter().map(name).collect()
}

/// The columns without marks.
pub(super) fn unmarked(schema: &Schema) -> SchemaRef {
    let name = |field: &Field| {
        let name = field.name();
        let rest = name.strip_prefix(MARK).and_then(|rest| rest.split_once(MARK));
        match rest {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                rest.to_owned()
            }
            _ => name.clone(),
        }
    };
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_name(name(field)));
    SchemaRef::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn marked(place: usize, name: &str) -> String {
    format!("{MARK}{place}{MARK}{name}")
}

fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

/// The name that PostgreSQL gives a column with this value.
fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(idents) => {
            idents.last().map_or(String::new(), |ident| ident.value.clone())
        }
        Expr::Function(call) => last(&call.name),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::CompoundFieldAccess { root, .. } => name_of(root),
        Expr::Cast { expr, data_type, .. } => match name_of(expr) {
            name if name == NAMELESS || matches!(**expr, Expr::Cast { .. }) => {
                let name = data_type.to_string().to_lowercase();
                let name = name.split('(').next().unwrap_or_default();
                name.rsplit('.').next().unwrap_or_default().to_owned()
            }
            name => name,
        },
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => "bool".to_owned(),
        Expr::Case { .. } => "case".to_owned(),
        Expr::Exists { .. } => "exists".to_owned(),
        Expr::Array(_) => "array".to_owned(),
        Expr::Subquery(query) => {
            let names = names(query);
            names.and_then(|mut names| names.pop()).unwrap_or_else(|| NAMELESS.to_owned())
        }
        _ => NAMELESS.to_owned(),
    }
}

/// What a column is called that has no name at all.
const NAMELESS: &str = "?column?";
