//! The operators that SQL's plans are made of: state machines over weighted rows.
//!
//! | file | what |
//! |---|---|
//! | `operator/calc.rs` | filter and projection, without state |

pub mod calc;
