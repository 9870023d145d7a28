//! What flows between subtasks: backpressure, event time, side outputs.
