//! For tests: a folder, and nginx and logrotate at work in it.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn compress(&self, from: &str, to: &str) {
        let text = fs::read(self.path(from)).unwrap();
        let file = File::create(self.path(to)).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(self.path(from)).unwrap();
    }
}

/// nginx and logrotate, at random.
pub(super) struct World {
    pub(super) folder: Folder,
    pub(super) random: SmallRng,
    /// What nginx has open, by rotation number (0 is the log itself): after a rename it is 1 until nginx is told.
    writes_to: usize,
    rotations: usize,
    /// How many lines were written, whole or not.
    next: usize,
    /// What is missing of the last line.
    rest: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            folder: Folder::new(),
            random: SmallRng::seed_from_u64(seed),
            writes_to: 0,
            rotations: 0,
            next: 0,
            rest: None,
        }
    }

    fn name(number: usize) -> String {
        if number == 0 { "a".into() } else { format!("a.{number}") }
    }

    /// One line in ten does not parse.
    fn line(number: usize, length: usize) -> String {
        let end = if number % 10 == 3 { "" } else { "\"" };
        format!(
            "10.0.0.{} - - [17/May/2015:10:05:03 +0000] \"GET /{number} {} HTTP/1.1\" 200 7 \"-\" \"x{end}",
            number % 50,
            "x".repeat(length)
        )
    }

    /// Whether every line that was written is there once, as it was written.
    pub(super) fn check<'a>(&self, lines: impl Iterator<Item = &'a [u8]>, history: &str) {
        let mut numbers = Vec::new();
        for line in lines {
            let text = std::str::from_utf8(line).unwrap();
            let number = text.split(['/', ' ']).nth(9).and_then(|number| number.parse().ok());
            let number: usize = number.unwrap_or_else(|| panic!("{history}: {text} is no line"));
            let length = text.matches('x').count() - 1;
            assert_eq!(text, World::line(number, length), "{history}");
            numbers.push(number);
        }
        numbers.sort_unstable();
        let odd = (0..self.next).find(|&number| numbers.get(number) != Some(&number));
        assert_eq!((odd, numbers.len()), (None, self.next), "{history}: a line lost or doubled");
    }

    pub(super) fn write(&mut self) {
        let mut text = String::new();
        for _ in 0..self.random.random_range(1..20) {
            let line = self.rest.take().unwrap_or_else(|| {
                self.next += 1;
                World::line(self.next - 1, self.random.random_range(0..200))
            });
            if self.random.random_bool(0.05) {
                let (written, rest) = line.split_at(self.random.random_range(0..=line.len()));
                text.push_str(written);
                self.rest = Some(rest.to_owned());
                break;
            }
            text.push_str(&line);
            text.push('\n');
        }
        self.folder.append(&World::name(self.writes_to), &text);
    }

    pub(super) fn end_line(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.folder.append(&World::name(self.writes_to), &format!("{rest}\n"));
        }
    }

    pub(super) fn rotate(&mut self) {
        // logrotate waits until nginx has opened its log again.
        self.reopen();
        self.end_line();
        for number in (1..=self.rotations).rev() {
            let (from, to) = (World::name(number), World::name(number + 1));
            for ending in ["", ".gz"] {
                if self.folder.path(&format!("{from}{ending}")).exists() {
                    self.folder.rename(&format!("{from}{ending}"), &format!("{to}{ending}"));
                }
            }
        }
        self.rotations += 1;
        if self.random.random_bool(0.5) {
            self.folder.rename("a", "a.1");
            self.writes_to = 1;
            if self.random.random_bool(0.5) {
                self.folder.write("a", "");
            }
        } else {
            fs::copy(self.folder.path("a"), self.folder.path("a.1")).unwrap();
            self.folder.write("a", "");
        }
    }

    pub(super) fn compress(&mut self) {
        let first = if self.writes_to == 0 { 1 } else { 2 };
        for number in first..=self.rotations {
            let name = World::name(number);
            if self.folder.path(&name).exists() {
                self.folder.compress(&name, &format!("{name}.gz"));
                return;
            }
        }
    }

    pub(super) fn reopen(&mut self) {
        if self.writes_to == 1 {
            self.end_line();
            self.writes_to = 0;
            self.folder.append("a", "");
        }
    }
}
