//! A Rust file with its code told apart from its comments, literals and tests.

/// What a byte of a file belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// A Rust file as the rules see it.
pub struct Source {
    /// The file with every byte of a comment or literal blanked out; lines stay where they are.
    code: String,
    /// Code inside the doc comments' fenced blocks, with the line it is on.
    doc_examples: Vec<(usize, String)>,
    /// Whether the file opens with `//!`.
    has_inner_docs: bool,
}

impl Source {
    /// Takes a file apart. Text that is no Rust gives no error, only a less exact answer.
    pub fn parse(text: &str) -> Self {
        let kinds = Lexer { bytes: text.as_bytes(), at: 0, kinds: Vec::new() }.run();
        let keep = |(byte, kind): (u8, &Kind)| match (byte, kind) {
            (b'\n', _) | (_, Kind::Code) => byte,
            _ => b' ',
        };
        let code: Vec<u8> = text.bytes().zip(&kinds).map(keep).collect();
        // A character outside ASCII is one whole run of either kind, so no character was cut.
        let code = String::from_utf8_lossy(&code).into_owned();
        Self {
            code,
            doc_examples: doc_examples(text, &kinds),
            has_inner_docs: opens_with_docs(text),
        }
    }

    /// Whether the file opens with documentation of its module or crate.
    pub fn has_inner_docs(&self) -> bool {
        self.has_inner_docs
    }

    /// Lines (from 1) where one of `names` is called as a macro, in code or in a doc example, with the name.
    pub fn macro_calls<'a>(&self, names: &'a [&'a str]) -> Vec<(usize, &'a str)> {
        let mut calls = Vec::new();
        for (line, text) in numbered(&self.code) {
            calls.extend(macros_in(text, names).map(|name| (line, name)));
        }
        for (line, example) in &self.doc_examples {
            let example = Self::parse(example);
            calls.extend(macros_in(&example.code, names).map(|name| (*line, name)));
        }
        calls.sort_unstable();
        calls
    }

    /// Lines (from 1) whose code names one of `paths`, such as `std::net`, with the path.
    pub fn mentions<'a>(&self, paths: &'a [&'a str]) -> Vec<(usize, &'a str)> {
        let mut mentions = Vec::new();
        for (line, text) in numbered(&self.code) {
            let named = paths.iter().filter(|path| contains_word(text, path));
            mentions.extend(named.map(|path| (line, *path)));
        }
        mentions
    }

    /// How many lines the file has outside items that are marked `#[cfg(test)]`. Comments and empty lines count.
    pub fn lines_outside_tests(&self) -> usize {
        let mut lines = 0;
        let mut code = self.code.as_str();
        while let Some(start) = code.find("#[cfg(test)]") {
            lines += code[..start].matches('\n').count();
            code = &code[start + item_length(&code[start..])..];
        }
        lines + code.matches('\n').count() + usize::from(!code.is_empty() && !code.ends_with('\n'))
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn opens_with_docs(text: &str) -> bool {
    let first =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!"));
    first.is_some_and(|line| line.starts_with("//!"))
}

fn macros_in<'a>(code: &str, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let called = |name: &str| {
        code.match_indices(name).any(|(start, _)| {
            let before = code[..start].chars().next_back();
            let after = code[start + name.len()..].trim_start();
            !before.is_some_and(is_identifier) && after.starts_with('!') && !after.starts_with("!=")
        })
    };
    names.iter().copied().filter(move |name| called(name)).collect::<Vec<_>>().into_iter()
}

fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(is_identifier) && !after.is_some_and(is_identifier)
    })
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of the item at the start of `code`, attributes included: up to its closing brace, or to a semicolon if it has none.
fn item_length(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The lines inside fenced blocks of doc comments, except blocks that are marked as `text`.
fn doc_examples(text: &str, kinds: &[Kind]) -> Vec<(usize, String)> {
    let mut examples = Vec::new();
    let mut position = 0;
    let (mut in_fence, mut is_code) = (false, false);
    for (line, raw) in text.split_inclusive('\n').enumerate() {
        let indent = raw.len() - raw.trim_start().len();
        let is_comment = kinds.get(position + indent) == Some(&Kind::Comment);
        position += raw.len();
        let doc = raw.trim().strip_prefix("///").or_else(|| raw.trim().strip_prefix("//!"));
        let Some(doc) = doc.filter(|_| is_comment) else {
            in_fence = false;
            continue;
        };
        if let Some(language) = doc.trim().strip_prefix("```") {
            in_fence = !in_fence;
            is_code = !["text", "console", "sh", "json"].iter().any(|l| language.starts_with(l));
        } else if in_fence && is_code {
            examples.push((line + 1, doc.to_owned()));
        }
    }
    examples
}

/// Marks every byte of a Rust file with its [`Kind`].
struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    kinds: Vec<Kind>,
}

impl Lexer<'_> {
    fn run(mut self) -> Vec<Kind> {
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            match rest {
                [b'/', b'/', ..] => {
                    let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                    self.mark(length, Kind::Comment);
                }
                [b'/', b'*', ..] => self.mark(block_comment_length(rest), Kind::Comment),
                [b'"', ..] => self.mark(string_length(rest), Kind::Literal),
                [b'r', ..] | [b'b' | b'c', b'r', ..] if !self.follows_identifier() => {
                    match raw_string_length(rest) {
                        Some(length) => self.mark(length, Kind::Literal),
                        None => self.mark(1, Kind::Code),
                    }
                }
                [b'\'', ..] => match char_length(rest) {
                    Some(length) => self.mark(length, Kind::Literal),
                    None => self.mark(1, Kind::Code), // a lifetime
                },
                _ => self.mark(1, Kind::Code),
            }
        }
        self.kinds
    }

    fn mark(&mut self, length: usize, kind: Kind) {
        let end = (self.at + length).min(self.bytes.len());
        self.kinds.resize(end, kind);
        self.at = end;
    }

    fn follows_identifier(&self) -> bool {
        let before = self.at.checked_sub(1).map(|before| self.bytes[before]);
        before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }
}

/// Block comments nest.
fn block_comment_length(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Length of `r"..."`, `r#"..."#`, `br"..."` or `cr"..."`; none if the letters begin a name instead.
fn raw_string_length(text: &[u8]) -> Option<usize> {
    let prefix = text.iter().position(|&byte| byte == b'r')? + 1;
    let hashes = text[prefix..].iter().take_while(|&&byte| byte == b'#').count();
    let open = prefix + hashes;
    if text.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = &text[open + 1..];
    let end = body.windows(close.len()).position(|window| window == close.as_slice());
    Some(end.map_or(text.len(), |end| open + 1 + end + close.len()))
}

/// Length of a character literal; none if the quote begins a lifetime.
fn char_length(text: &[u8]) -> Option<usize> {
    if text.get(1) == Some(&b'\\') {
        // The escaped character itself may be a quote.
        let end = text.iter().skip(3).position(|&byte| byte == b'\'')?;
        return Some(end + 4);
    }
    let character = std::str::from_utf8(&text[1..text.len().min(5)]);
    let first = match character {
        Ok(text) => text.chars().next(),
        // Cut in the middle of a later character; what came before it is whole.
        Err(error) => std::str::from_utf8(&text[1..1 + error.valid_up_to()]).ok()?.chars().next(),
    }?;
    (text.get(1 + first.len_utf8()) == Some(&b'\'')).then(|| first.len_utf8() + 2)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
