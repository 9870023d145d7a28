//! Names of functions and what they stand for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use hashbrown::HashMap;
use riverrun_dataflow::{Clock, ManualClock, Timestamp};

use super::now::JavaRandom;
use super::table::TableFunction;

/// What functions ask for that is not among their arguments: the time, and a seed of random numbers.
pub struct FunctionContext {
    clock: Arc<dyn Clock>,
    seed: u64,
    /// The generators of seeds that queries gave, and that of those that gave none.
    random: Mutex<HashMap<Option<i64>, JavaRandom, foldhash::fast::FixedState>>,
}

/// Seeds whose generators are kept, so that queries with ever new seeds cannot fill the memory.
const KEPT_SEEDS: usize = 10_000;

impl FunctionContext {
    /// Functions with this clock; `seed` makes different contexts draw different random numbers.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { clock, seed, random: Mutex::default() }
    }

    /// For functions that ask for nothing.
    pub(super) fn still() -> &'static Arc<Self> {
        static STILL: LazyLock<Arc<FunctionContext>> =
            LazyLock::new(|| Arc::new(FunctionContext::new(Arc::new(ManualClock::new(0)), 0)));
        &STILL
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Draws with the generator of a seed, which goes on from batch to batch and from query to query.
    pub(super) fn draw<T>(&self, seed: Option<i64>, draw: impl FnOnce(&mut JavaRandom) -> T) -> T {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if random.len() >= KEPT_SEEDS && !random.contains_key(&seed) {
            random.clear();
        }
        let start = || JavaRandom::new(seed.unwrap_or(self.seed as i64));
        draw(random.entry(seed).or_insert_with(start))
    }
}

impl fmt::Debug for FunctionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionContext").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// All functions that SQL can call, by name; upper and lower case are the same.
///
/// A fresh one knows DataFusion's functions and ours (which win where both know a name). A name can be a scalar function and an aggregate at
/// once, such as `coalesce` never is and `first_value` (aggregate and window function) is.
///
/// ```
/// use std::sync::Arc;
/// use riverrun_dataflow::ManualClock;
/// use riverrun_sql::function::FunctionRegistry;
///
/// let registry = FunctionRegistry::new(Arc::new(ManualClock::new(0)), 42);
/// assert!(registry.scalar("Upper").is_some());
/// assert!(registry.aggregate("SUM").is_some());
/// assert!(registry.window("row_number").is_some());
/// assert_eq!(registry.suggestion("uper"), Some("upper"));
/// ```
#[derive(Clone)]
pub struct FunctionRegistry {
    context: Arc<FunctionContext>,
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    higher_order: BTreeMap<String, Arc<HigherOrderUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    windows: BTreeMap<String, Arc<WindowUDF>>,
    tables: BTreeMap<String, Arc<dyn TableFunction>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl fmt::Debug for FunctionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionRegistry").field("names", &self.names().len()).finish()
    }
}

impl FunctionRegistry {
    /// All built-in functions. `clock` is what CURRENT_TIMESTAMP and the like tell; random functions are seeded by `seed`.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        // The first planner that knows what to do does it.
        let mut planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(crate::plan::RowFields::default())];
        planners.extend(SessionStateDefaults::default_expr_planners());
        let mut registry = Self {
            context: Arc::new(FunctionContext::new(clock, seed)),
            scalars: BTreeMap::new(),
            higher_order: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            windows: BTreeMap::new(),
            tables: BTreeMap::new(),
            planners,
        };
        for function in SessionStateDefaults::default_scalar_functions() {
            registry.register_scalar_udf(function);
        }
        for function in super::scalar_functions(&registry.context) {
            registry.register_scalar_udf(function);
        }
        for (alias, name) in super::ALIASES {
            if let Some(function) = registry.scalar(name) {
                registry.scalars.insert(alias.to_owned(), function);
            }
        }
        for function in SessionStateDefaults::default_higher_order_functions() {
            let names = std::iter::once(function.name().to_owned());
            for name in names.chain(function.aliases().iter().cloned()) {
                registry.higher_order.insert(name.to_lowercase(), Arc::clone(&function));
            }
        }
        for function in SessionStateDefaults::default_aggregate_functions() {
            registry.register_aggregate_udf(function);
        }
        registry.register_aggregate_udf(super::average::average());
        registry.register_aggregate_udf(super::percentile::percentile());
        for (alias, name) in super::AGGREGATE_ALIASES {
            if let Some(function) = registry.aggregate(name) {
                registry.aggregates.insert(alias.to_owned(), function);
            }
        }
        for function in SessionStateDefaults::default_window_functions() {
            registry.register_window_udf(function);
        }
        registry
    }

    /// The scalar function of this name.
    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(&name.to_lowercase()).cloned()
    }

    /// The function of this name that takes lambdas, such as `array_transform`.
    pub fn higher_order(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.higher_order.get(&name.to_lowercase()).cloned()
    }

    /// The aggregate function of this name.
    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(&name.to_lowercase()).cloned()
    }

    /// The window function of this name. (Aggregates can be used as window functions, too.)
    pub fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.get(&name.to_lowercase()).cloned()
    }

    /// The table function of this name.
    pub fn table(&self, name: &str) -> Option<Arc<dyn TableFunction>> {
        self.tables.get(&name.to_lowercase()).cloned()
    }

    /// Planners of expressions that are not calls: operators on arrays, field access, array literals.
    pub fn expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    /// What the functions ask.
    pub fn context(&self) -> &Arc<FunctionContext> {
        &self.context
    }

    /// Adds a scalar function, or replaces the one of its name and aliases.
    pub fn register_scalar_udf(&mut self, function: Arc<ScalarUDF>) {
        for name in
            std::iter::once(function.name()).chain(function.aliases().iter().map(|a| a.as_str()))
        {
            self.scalars.insert(name.to_lowercase(), Arc::clone(&function));
        }
    }

    /// Adds an aggregate function, or replaces the one of its name and aliases.
    pub fn register_aggregate_udf(&mut self, function: Arc<AggregateUDF>) {
        for name in
            std::iter::once(function.name()).chain(function.aliases().iter().map(|a| a.as_str()))
        {
            self.aggregates.insert(name.to_lowercase(), Arc::clone(&function));
        }
    }

    /// Adds a window function, or replaces the one of its name and aliases.
    pub fn register_window_udf(&mut self, function: Arc<WindowUDF>) {
        for name in
            std::iter::once(function.name()).chain(function.aliases().iter().map(|a| a.as_str()))
        {
            self.windows.insert(name.to_lowercase(), Arc::clone(&function));
        }
    }

    /// Adds a table function, or replaces the one of its name.
    pub fn register_table(&mut self, function: Arc<dyn TableFunction>) {
        self.register_scalar_udf(super::table::as_array(Arc::clone(&function)));
        self.tables.insert(function.name().to_lowercase(), function);
    }

    /// Names of all functions that can be written, in lower case, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .scalars
            .keys()
            .chain(self.higher_order.keys())
            .chain(self.aggregates.keys())
            .chain(self.windows.keys())
            .chain(self.tables.keys())
            .map(String::as_str)
            .filter(|name| !super::INTERNAL.contains(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The known name that is nearest to a wrong one; `None` if none is near.
    pub fn suggestion(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        let most = 1 + name.chars().count() / 4;
        self.names()
            .into_iter()
            .map(|known| (levenshtein(known, &name), known))
            .filter(|(distance, _)| *distance <= most)
            .min()
            .map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests;
