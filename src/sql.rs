//! SQL's faces: what the prompt, the PostgreSQL protocol and scripts share.
//!
//! | file | what |
//! |---|---|
//! | `host.rs` | what the SQL engine finds in this process |
//! | `script.rs` | a script cut into statements |
//! | `values.rs`, `values/` | values of columns as text and as JSON |

mod host;
pub mod script;
pub mod values;

pub use host::{EmbeddedHost, resume};
