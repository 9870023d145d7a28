//! The rules, one a file.

pub mod boundary;
pub mod crate_habit;
pub mod dependency_direction;
pub mod dependency_reason;
pub mod file_size;
pub mod leftover;
pub mod markdown_link;
