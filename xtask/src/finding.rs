//! What a rule complains about.

use std::fmt;

/// One complaint, with the place it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the repository.
    pub path: String,
    /// Line, counted from 1; 0 when the complaint is about the whole file.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub complaint: String,
}

impl Finding {
    /// A complaint about a whole file.
    pub fn in_file(path: &str, complaint: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, complaint: complaint.into() }
    }

    /// A complaint about one line of a file.
    pub fn in_line(path: &str, line: usize, complaint: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, complaint: complaint.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.complaint),
            line => write!(f, "{}:{line}: {}", self.path, self.complaint),
        }
    }
}
