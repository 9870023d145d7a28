//! SQL's faces: what the prompt, the PostgreSQL protocol and scripts share.
//!
//! | file | what |
//! |---|---|
//! | `values.rs`, `values/` | values of columns as text and as JSON |

pub mod values;
