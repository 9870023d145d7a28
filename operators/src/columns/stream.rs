//! The columnar path as programs say it.

use riverrun_dataflow::{Columns, DataStream, OperatorKind, OperatorSpec};

use super::combine::CountCombine;
use super::partitioner::ColumnPartitioner;
use super::timestamps::ColumnTimestamps;
use super::window::CountWindow;
use crate::timestamps::WatermarkStrategy;
use crate::window::{SlidingWindows, TumblingWindows, Windows};

/// Event-time windows that columns can be counted in: those with panes.
#[derive(Debug, Clone, Copy)]
pub struct PaneWindows(Windows);

impl From<TumblingWindows> for PaneWindows {
    fn from(windows: TumblingWindows) -> Self {
        Self(windows.into())
    }
}

impl From<SlidingWindows> for PaneWindows {
    fn from(windows: SlidingWindows) -> Self {
        Self(windows.into())
    }
}

/// Adds operators on columns to a [`DataStream`] of columns.
///
/// ```
/// use std::time::Duration;
/// use riverrun_dataflow::Environment;
/// use riverrun_operators::prelude::*;
/// use riverrun_operators::columns::ColumnsToJson;
/// use riverrun_operators::format::NginxFields;
///
/// let env = Environment::new("example");
/// env.from_topic_columns("nginx", NginxFields::new(&["ip", "time"])?)
///     .assign_watermarks(WatermarkStrategy::bounded_out_of_orderness(Duration::from_secs(60)))
///     .count_by("ip", TumblingWindows::of(Duration::from_secs(5)))
///     .to_topic_columns("ip-counts", ColumnsToJson::of(&["window_start", "window_end", "ip", "count"]).keyed_by("ip"));
/// # Ok::<(), riverrun_operators::nginx::UnknownColumn>(())
/// ```
pub trait ColumnStreams {
    /// Follows the event time column, split by split, and sends watermarks.
    fn assign_watermarks(&self, strategy: WatermarkStrategy) -> DataStream<Columns>;

    /// Counts rows by a column of text in windows of event time (windows of processing time are refused).
    ///
    /// The result has the columns `window_start`, `window_end`, the key's, `count` (Int64) and `window_time`, the last
    /// millisecond of the window, which is the event time of the result. Rows that come when their window is over are counted as
    /// late.
    fn count_by(&self, key: &str, windows: impl Into<PaneWindows>) -> DataStream<Columns>;
}

impl ColumnStreams for DataStream<Columns> {
    fn assign_watermarks(&self, strategy: WatermarkStrategy) -> DataStream<Columns> {
        let spec = OperatorSpec::new("timestamps", OperatorKind::Transform)
            .described(strategy.to_string());
        self.transform(spec, move |_| Ok(Box::new(ColumnTimestamps::new(strategy))))
    }

    fn count_by(&self, key: &str, windows: impl Into<PaneWindows>) -> DataStream<Columns> {
        let PaneWindows(windows) = windows.into();
        let description = format!("{windows}, count by {key}");
        let by = key.to_owned();
        let combine =
            OperatorSpec::new("combine", OperatorKind::Transform).described(description.clone());
        let window = OperatorSpec::new("window", OperatorKind::Keyed).described(description);
        let (combined, counted) = (key.to_owned(), key.to_owned());
        self.transform::<Columns>(combine, move |_| {
            Ok(Box::new(CountCombine::new(&combined, windows.layout())))
        })
        .partition_by(key, move |key_groups| {
            Box::new(ColumnPartitioner::new(by.clone(), key_groups))
        })
        .transform(window, move |_| Ok(Box::new(CountWindow::new(&counted, windows))))
    }
}
