//! How DataFusion's planner finds what a query names.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, TableReference, plan_err};
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::sqlparser::ast;

use super::lateral::UnnestPlanner;
use super::versions::VersionPlanner;
use super::windows::WindowPlanner;
use crate::function::FunctionRegistry;
use crate::parser::timestamp_type;

/// Finds what a table's name stands for. `Ok(None)`: there is no such table.
pub type FindTable<'a> = &'a dyn Fn(&str) -> crate::Result<Option<Arc<dyn TableSource>>>;

/// What a query may name.
pub struct Names<'a> {
    find: FindTable<'a>,
    suggest: &'a dyn Fn(&str) -> Option<String>,
    functions: &'a FunctionRegistry,
    options: Arc<ConfigOptions>,
    relations: Vec<Arc<dyn RelationPlanner>>,
}

impl<'a> Names<'a> {
    /// Names of tables by `find`, functions by the registry. `suggest` knows the name that was perhaps meant.
    pub fn new(
        find: FindTable<'a>,
        suggest: &'a dyn Fn(&str) -> Option<String>,
        functions: &'a FunctionRegistry,
        options: Arc<ConfigOptions>,
    ) -> Self {
        Self {
            find,
            suggest,
            functions,
            options,
            relations: vec![
                Arc::new(WindowPlanner),
                Arc::new(UnnestPlanner),
                Arc::new(VersionPlanner),
            ],
        }
    }
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let found = (self.find)(name.table())
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        if let Some(source) = found {
            return Ok(source);
        }
        match (self.suggest)(name.table()) {
            Some(near) => {
                plan_err!("table `{}` is not known; did you mean `{near}`?", name.table())
            }
            None => plan_err!(
                "table `{}` is not known; SHOW TABLES lists what there is, CREATE TABLE makes one",
                name.table()
            ),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.functions.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar(name)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.functions.higher_order(name)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window(name)
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.names().into_iter().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Types in expressions (`CAST(x AS TIMESTAMP(3))`) that mean something else here than to DataFusion.
struct Types;

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            ast::DataType::Timestamp(precision, zone) => {
                let local = matches!(zone, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz);
                timestamp_type(precision.unwrap_or(6), local)
            }
            ast::DataType::TimestampNtz(precision) => timestamp_type(precision.unwrap_or(6), false),
            ast::DataType::Custom(name, arguments) => {
                let name = name.to_string().to_ascii_uppercase();
                match name.as_str() {
                    "TIMESTAMP_LTZ" => {
                        let precision = arguments.first().and_then(|p| p.parse().ok());
                        timestamp_type(precision.unwrap_or(6), true)
                    }
                    "STRING" => DataType::Utf8,
                    _ => return Ok(None),
                }
            }
            ast::DataType::Time(..) => DataType::Time32(arrow_schema::TimeUnit::Millisecond),
            ast::DataType::Bytes(_) | ast::DataType::Varbinary(_) | ast::DataType::Binary(_) => {
                DataType::Binary
            }
            ast::DataType::Varchar(_) | ast::DataType::Char(_) | ast::DataType::Text => {
                DataType::Utf8
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}
