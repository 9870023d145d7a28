//! SQL on the whole engine: statements in, rows out.

mod broken;
mod columnar;
mod connectors;
mod kit;
mod logic;
mod modes;
mod pruning;
mod random;
mod resuming;
mod tables;
