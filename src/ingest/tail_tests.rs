use std::cell::RefCell;
use std::rc::Rc;

use rand::Rng;

use super::*;
use crate::ingest::world::{Folder, World};

/// What a log would hold.
#[derive(Default)]
struct Store {
    committed: Vec<String>,
    pending: Vec<String>,
    positions: BTreeMap<u64, FilePosition>,
    commits: usize,
    aborts: usize,
}

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Store>>);

impl Output for Memory {
    fn write(&mut self, line: Line<'_>, _file: &str) -> Result<(), IngestError> {
        self.0.borrow_mut().pending.push(String::from_utf8(line.bytes.to_vec()).unwrap());
        Ok(())
    }

    fn commit(&mut self, position: &FilePosition) -> Result<(), IngestError> {
        let store = &mut *self.0.borrow_mut();
        store.committed.append(&mut store.pending);
        // As it is kept: whatever does not survive the encoding is gone.
        let position = FilePosition::decode(position.id, &position.encode())?;
        store.positions.insert(position.id, position);
        store.commits += 1;
        Ok(())
    }

    fn abort(&mut self) -> Result<(), IngestError> {
        let store = &mut *self.0.borrow_mut();
        store.pending.clear();
        store.aborts += 1;
        Ok(())
    }
}

impl Memory {
    /// A process that starts: whatever was not committed is gone.
    fn tail(&self, options: &TailOptions) -> Result<Tail<Memory>, IngestError> {
        self.0.borrow_mut().pending.clear();
        let known = self.0.borrow().positions.values().cloned().collect();
        Tail::open(options.clone(), known, self.clone())
    }

    fn lines(&self) -> Vec<String> {
        self.0.borrow().committed.clone()
    }
}

fn options(folder: &Folder, name: &str, follow: bool) -> TailOptions {
    TailOptions {
        file: folder.path(name),
        follow,
        commit_bytes: 1,
        longest_line: 1 << 20,
        patience: 3,
    }
}

/// Steps until there is nothing to do.
fn settle(tail: &mut Tail<Memory>) -> Step {
    loop {
        let step = tail.step().unwrap();
        if step != Step::Committed {
            return step;
        }
    }
}

fn run(memory: &Memory, options: &TailOptions) -> Vec<String> {
    let before = memory.lines().len();
    let mut tail = memory.tail(options).unwrap();
    let end = if options.follow { Step::Idle } else { Step::Finished };
    assert_eq!(settle(&mut tail), end);
    memory.lines().split_off(before)
}

#[test]
fn a_file_is_read_once() {
    let (folder, memory) = (Folder::new(), Memory::default());
    let options = options(&folder, "a", false);
    folder.write("a", "1\n2\n3");
    assert_eq!(run(&memory, &options), ["1", "2", "3"]);
    assert!(run(&memory, &options).is_empty());
    folder.append("a", "\n4\n");
    // The newline that ends `3` now seems to end an empty line; that is why a live log is to be followed.
    assert_eq!(run(&memory, &options), ["", "4"]);
}

#[test]
fn following_waits_for_the_newline() {
    let (folder, memory) = (Folder::new(), Memory::default());
    folder.write("a", "1\n2");
    let mut tail = memory.tail(&options(&folder, "a", true)).unwrap();
    assert_eq!(settle(&mut tail), Step::Idle);
    assert_eq!(memory.lines(), ["1"]);
    folder.append("a", "2\n3\n");
    assert_eq!(settle(&mut tail), Step::Idle);
    assert_eq!(memory.lines(), ["1", "22", "3"]);
}

#[test]
fn a_missing_file() {
    let (folder, memory) = (Folder::new(), Memory::default());
    let error = memory.tail(&options(&folder, "a", false)).err().unwrap().to_string();
    assert!(error.starts_with("cannot open ") && error.contains("/a: "), "{error}");
    // Followed, it may come yet.
    let mut tail = memory.tail(&options(&folder, "a", true)).unwrap();
    assert_eq!(settle(&mut tail), Step::Idle);
    folder.write("a", "1\n");
    assert_eq!(settle(&mut tail), Step::Idle);
    assert_eq!(memory.lines(), ["1"]);
}

#[test]
fn renamed_while_followed() {
    let (folder, memory) = (Folder::new(), Memory::default());
    folder.write("a", "1\n");
    let mut tail = memory.tail(&options(&folder, "a", true)).unwrap();
    settle(&mut tail);
    folder.append("a", "2\n");
    folder.rename("a", "a.1");
    settle(&mut tail);
    folder.append("a", "3\n");
    settle(&mut tail);
    // nginx has not opened its log again: the old file still grows, and its last line has no newline.
    folder.append("a.1", "4\n5");
    settle(&mut tail);
    assert_eq!(memory.lines(), ["1", "2", "3", "4"]);
    for _ in 0..4 {
        tail.step().unwrap();
    }
    assert_eq!(memory.lines(), ["1", "2", "3", "4", "5"]);
    assert_eq!(tail.open.len(), 1);
    assert!(tail.warnings.is_empty());
}

#[test]
fn rotated_several_times_while_away() {
    for follow in [false, true] {
        let (folder, memory) = (Folder::new(), Memory::default());
        let options = options(&folder, "a", follow);
        folder.write("a.1", "0\n");
        folder.write("a", "1\n");
        assert_eq!(run(&memory, &options), ["1"]);
        folder.append("a", "2\n");
        folder.compress("a", "a.3.gz");
        folder.write("a.2", "3\n");
        folder.compress("a.2", "a.2.gz");
        folder.write("a.1", "4\n");
        folder.write("a", "5\n");
        assert_eq!(run(&memory, &options), ["2", "3", "4", "5"]);
        assert!(run(&memory, &options).is_empty());
    }
}

#[test]
fn truncated_after_a_copy() {
    for restart in [false, true] {
        let (folder, memory) = (Folder::new(), Memory::default());
        folder.write("a", "1\n2\n");
        let mut tail = memory.tail(&options(&folder, "a", true)).unwrap();
        settle(&mut tail);
        folder.append("a", "3\n");
        fs::copy(folder.path("a"), folder.path("a.1")).unwrap();
        // As long as it was, or longer: only the beginning tells.
        folder.write("a", "4\n5\n6\n7\n");
        if restart {
            tail = memory.tail(&options(&folder, "a", true)).unwrap();
        }
        settle(&mut tail);
        assert_eq!(memory.lines(), ["1", "2", "3", "4", "5", "6", "7"]);
        assert!(tail.warnings.is_empty());
    }
}

#[test]
fn truncated_without_a_copy() {
    let (folder, memory) = (Folder::new(), Memory::default());
    folder.write("a", "1\n2\n");
    let mut tail = memory.tail(&options(&folder, "a", true)).unwrap();
    settle(&mut tail);
    folder.write("a", "3\n");
    settle(&mut tail);
    assert_eq!(memory.lines(), ["1", "2", "3"]);
    assert_eq!(tail.warnings.len(), 1);
    assert!(tail.warnings[0].contains("/a was read up to byte 4"), "{}", tail.warnings[0]);
}

#[test]
fn rotated_files_asked_for_by_name() {
    let (folder, memory) = (Folder::new(), Memory::default());
    folder.write("a.2", "1\n2\n");
    folder.compress("a.2", "a.2.gz");
    folder.write("a.1", "3\n");
    folder.write("a", "4\n");
    assert_eq!(run(&memory, &options(&folder, "a.2.gz", false)), ["1", "2"]);
    assert!(run(&memory, &options(&folder, "a.2.gz", false)).is_empty());
    // The log itself does not begin with what lies between.
    assert_eq!(run(&memory, &options(&folder, "a", false)), ["4"]);
    // A file that was read as the log is not read again under its new name.
    folder.rename("a.1", "a.2");
    folder.rename("a", "a.1");
    folder.append("a.1", "5\n");
    assert_eq!(run(&memory, &options(&folder, "a.1", false)), ["5"]);
    assert_eq!(run(&memory, &options(&folder, "a.2", false)), ["3"]);
    let error = memory.tail(&options(&folder, "a.2.gz", true)).err().unwrap();
    assert!(matches!(error, IngestError::FollowCompressed { .. }));
}

#[test]
fn other_files_beside_the_log() {
    let (folder, memory) = (Folder::new(), Memory::default());
    folder.write("a", "1\n");
    run(&memory, &options(&folder, "a", true));
    folder.rename("a", "a.old");
    folder.append("a.old", "2\n");
    folder.write("a.save", "not a part of it\n");
    folder.write("a", "3\n");
    fs::create_dir(folder.path("a.d")).unwrap();
    assert_eq!(run(&memory, &options(&folder, "a", true)), ["2", "3"]);
}

#[test]
fn log_paths() {
    let folder = Folder::new();
    let log = log_path(&folder.path("access.log")).unwrap();
    assert!(log.is_absolute());
    assert_eq!(log_path(&folder.path("access.log.3.gz")).unwrap(), log);
    fs::create_dir(folder.path("sub")).unwrap();
    assert_eq!(log_path(&folder.path("sub/../access.log")).unwrap(), log);
}

fn history(seed: u64) -> (Vec<String>, usize) {
    let mut world = World::new(seed);
    let mut options = options(&world.folder, "a", true);
    options.commit_bytes = world.random.random_range(1..2000);
    options.patience = 1000;
    let memory = Memory::default();
    let mut kills = 0;
    world.write();
    world.end_line();
    let mut tail = memory.tail(&options).unwrap();
    // The files of a log are found by the last one of which something was read, so something has to be.
    settle(&mut tail);
    for _ in 0..80 {
        let op = world.random.random_range(0..100);
        match op {
            0..35 => world.write(),
            35..70 => {
                tail.step().unwrap();
            }
            70..77 => {
                let unread = memory.0.borrow().positions.values().next_back().unwrap().offset == 0;
                world.rotate();
                if unread {
                    // An empty log that is filled, copied and truncated between two looks at it looks as before; only who
                    // starts anew sees that there is one file more.
                    tail = memory.tail(&options).unwrap();
                }
            }
            77..84 => world.reopen(),
            84..90 => world.compress(),
            90..95 => {
                settle(&mut tail);
            }
            _ => {
                kills += 1;
                tail = memory.tail(&options).unwrap();
            }
        }
    }
    world.reopen();
    world.end_line();
    settle(&mut tail);
    assert_eq!(tail.warnings, [""; 0], "seed {seed}");
    let lines = memory.lines();
    world.check(lines.iter().map(String::as_bytes), &format!("seed {seed}"));
    (lines, kills)
}

#[test]
fn no_history_loses_or_doubles_a_line() {
    let seeds = std::env::var("RIVERRUN_SIM_SEEDS").map_or(300, |seeds| seeds.parse().unwrap());
    let kills: usize = (0..seeds).map(|seed| history(seed).1).sum();
    assert!(kills as u64 > seeds, "only {kills} kills");
    assert_eq!(history(1), history(1));
}
