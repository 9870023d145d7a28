//! The files of the repository that the rules look at.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::source::Source;

/// Folders that hold what was built or written by a run, wherever they are.
const NOT_OURS: &[&str] = &["target", "riverrun-data", "corpus", "artifacts", "node_modules"];

/// Text files by path from the root, with `/` between folders.
pub struct Tree {
    texts: BTreeMap<String, String>,
    sources: BTreeMap<String, Source>,
    /// Every path, text or not, folders too: what a link may point to.
    paths: Vec<String>,
}

impl Tree {
    /// Reads every Rust, Markdown, TOML and text file below `root`. Hidden folders are left out.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree =
            Self { texts: BTreeMap::new(), sources: BTreeMap::new(), paths: vec![String::new()] };
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                    self.paths.push(path);
                }
                continue;
            }
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            if kind.is_file() && ["rs", "md", "toml", "txt"].contains(&extension) {
                // A file that is no UTF-8 has no text to check.
                if let Ok(text) = String::from_utf8(std::fs::read(entry.path())?) {
                    if extension == "rs" {
                        self.sources.insert(path.clone(), Source::parse(&text));
                    }
                    self.texts.insert(path.clone(), text);
                }
            }
            self.paths.push(path);
        }
        Ok(())
    }

    /// The Rust files, by path.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources.iter().map(|(path, source)| (path.as_str(), source))
    }

    /// The text files whose path ends with `ending`, by path.
    pub fn texts<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let ends = move |(path, _): &(&String, &String)| path.ends_with(ending);
        self.texts.iter().filter(ends).map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is a file or folder at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|known| known == path)
    }
}

#[cfg(test)]
pub mod made_up {
    //! Small trees for the tests of the rules.

    use super::*;

    /// A folder with the given files.
    pub fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    /// The tree of a folder with the given files.
    pub fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::read(folder(files).path()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_and_hidden_files_are_left_out() {
        let tree = made_up::tree(&[
            ("src/lib.rs", "fn a() {}"),
            ("target/debug/b.rs", "fn b() {}"),
            (".git/c.rs", "fn c() {}"),
            ("log-store/fuzz/target/d.rs", "fn d() {}"),
            ("docs/e.md", "e"),
        ]);
        assert_eq!(tree.sources().map(|(path, _)| path).collect::<Vec<_>>(), ["src/lib.rs"]);
        assert_eq!(tree.texts(".md").collect::<Vec<_>>(), [("docs/e.md", "e")]);
        assert!(tree.has("docs") && tree.has("src/lib.rs") && !tree.has("target"));
    }
}
