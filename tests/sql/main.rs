//! SQL on the whole engine: statements in, rows out.

mod kit;
mod modes;
mod tables;
