//! Flipped, torn, full, taken: damaged bytes are named and never printed, and nothing acknowledged is lost.

mod support;

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use riverrun_log_store::{
    BatchBuilder, Compression, Error, Partition, Store, StoreOptions, TopicConfig,
};
use support::{error_of, folder, output_of, riverrun};

const TOPIC: &str = "t";
const SEGMENT: &str = "00000000000000000000.log";

fn segment(data_dir: &Path) -> PathBuf {
    data_dir.join("topics").join(format!("{TOPIC}-0")).join(SEGMENT)
}

fn command(data_dir: &Path, args: &[&str]) -> Command {
    let mut command = riverrun();
    command.args(args).arg("--data-dir").arg(data_dir);
    command
}

/// Runs `produce` with these lines as a process: its end acknowledges them.
fn produce(data_dir: &Path, lines: &[String]) -> Output {
    let mut command = command(data_dir, &["produce", TOPIC, "--compression", "none"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be started");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let writer = std::thread::spawn(move || {
        // A program that fails stops reading.
        let _ = stdin.write_all(text.as_bytes());
    });
    let output = child.wait_with_output().expect("the program can be waited for");
    writer.join().expect("writing does not panic");
    output
}

fn produced(data_dir: &Path, lines: &[String]) {
    let output = produce(data_dir, lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn consumed(data_dir: &Path) -> Vec<String> {
    output_of(&mut command(data_dir, &["consume", TOPIC])).lines().map(str::to_owned).collect()
}

fn numbered(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{word}-{n}")).collect()
}

/// Opens and closes the store, so that its recovery point is at the end: from then on damage is met by
/// readers, not by the recovery.
fn close(data_dir: &Path) {
    let store = Store::open(data_dir, StoreOptions::default()).expect("the store is whole");
    store.close().expect("the disk works");
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it is there");
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => {
                fs::copy(entry.path(), &to).expect("it can be copied");
            }
        }
    }
}

fn flip(path: &Path, byte: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let mut value = [0];
    file.read_exact_at(&mut value, byte).expect("the byte is there");
    file.write_all_at(&[value[0] ^ 1 << bit], byte).expect("it can be written");
}

#[test]
fn a_flipped_bit_is_named_never_printed_and_repaired() {
    let dir = folder();
    let origin = dir.path().join("origin");
    let (first, middle, last) =
        (numbered("first", 50), numbered("middle", 50), numbered("last", 50));
    produced(&origin, &first);
    let start = fs::metadata(segment(&origin)).expect("it was written").len();
    produced(&origin, &middle);
    let end = fs::metadata(segment(&origin)).expect("it was written").len();
    produced(&origin, &last);
    let around = [first.clone(), last.clone()].concat();
    let all = [first.clone(), middle, last].concat();

    // Byte in the batch of the middle records, bit, and whether nothing is lost by it.
    let places = [
        ("base offset", 0, 7, true),
        ("base offset", 7, 0, true),
        ("length", 9, 3, true),
        ("length", 11, 0, true),
        ("leader epoch", 12, 0, true),
        ("leader epoch", 15, 1, true),
        ("magic", 16, 0, true),
        ("checksum", 18, 5, true),
        ("attributes", 22, 0, false),
        ("last offset delta", 26, 2, false),
        ("timestamp", 30, 4, false),
        ("records count", 60, 1, false),
        ("first record", 61, 0, false),
        ("some record", (end - start) / 2, 6, false),
        ("last byte", end - start - 1, 0, false),
    ];
    for (at, (what, byte, bit, harmless)) in places.into_iter().enumerate() {
        let data_dir = dir.path().join(format!("flipped-{at}"));
        copy(&origin, &data_dir);
        if at % 2 == 0 {
            close(&data_dir);
        }
        let before = fs::read(segment(&data_dir)).expect("it is there");
        flip(&segment(&data_dir), start + byte, bit);
        let flipped = fs::read(segment(&data_dir)).expect("it is there");

        // It is named: in words and as JSON,
        let verify =
            |args: &[&str]| command(&data_dir, &[&["log", "verify"], args].concat()).output();
        let output = verify(&[]).expect("the program can be started");
        assert_eq!(output.status.code(), Some(1), "{what}");
        let text = String::from_utf8(output.stdout).expect("output is UTF-8");
        let place = format!("{TOPIC}-0: {SEGMENT} at byte {start} (offset 50)");
        assert!(text.contains(&place), "{what}: {text}");
        let place = format!("bit {bit} of byte {}", start + byte);
        assert!(text.contains(&place), "{what}: {text}");
        let output = verify(&[TOPIC, "--output", "json"]).expect("the program can be started");
        let text = String::from_utf8(output.stdout).expect("output is UTF-8");
        let line = text.lines().next().expect("there is a finding");
        let finding: serde_json::Value = serde_json::from_str(line).expect("a line is an object");
        assert_eq!(
            (&finding["topic"], &finding["partition"], &finding["file"], &finding["position"]),
            (&TOPIC.into(), &0.into(), &SEGMENT.into(), &start.into()),
            "{what}"
        );

        // it is never printed,
        let output = command(&data_dir, &["consume", TOPIC]).output().expect("it can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {stderr}");
        assert!(stderr.contains("t-0 is damaged in segment"), "{what}: {stderr}");
        assert!(stderr.contains("riverrun log verify"), "{what}: {stderr}");
        let stdout = String::from_utf8(output.stdout).expect("output is UTF-8");
        let printed: Vec<&str> = stdout.lines().collect();
        assert!(printed.iter().zip(&first).all(|(line, first)| line == first), "{what}: {stdout}");
        assert!(printed.len() <= first.len(), "{what}: {stdout}");

        // and repaired, when told.
        let target = format!("{TOPIC}-0");
        error_of(&mut command(&data_dir, &["log", "repair", &target]), 1);
        assert_eq!(fs::read(segment(&data_dir)).expect("it is there"), flipped, "only planned");
        output_of(&mut command(&data_dir, &["log", "repair", &target, "--yes"]));
        output_of(&mut command(&data_dir, &["log", "verify"]));
        if harmless {
            assert_eq!(fs::read(segment(&data_dir)).expect("it is there"), before, "{what}");
        }
        let expected = if harmless { &all } else { &around };
        assert_eq!(&consumed(&data_dir), expected, "{what}");
        let kept = data_dir.join("damaged").join(&target).join(SEGMENT);
        assert_eq!(fs::read(kept).expect("it was kept"), flipped, "{what}");
        produced(&data_dir, &numbered("new", 1));
        assert_eq!(consumed(&data_dir).last().map(String::as_str), Some("new-0"), "{what}");
        let json = output_of(&mut command(&data_dir, &["consume", TOPIC, "--output", "json"]));
        let record: serde_json::Value =
            serde_json::from_str(json.lines().last().expect("there are records")).expect("JSON");
        assert_eq!(record["offset"], 150, "no offset is given out again");
    }
}

#[test]
fn a_damaged_partition_leaves_the_others_alone() {
    let dir = folder();
    produced(dir.path(), &numbered("line", 10));
    let mut other = command(dir.path(), &["produce", "other"]);
    let mut child = other.stdin(Stdio::piped()).spawn().expect("the program can be started");
    child.stdin.take().expect("it is piped").write_all(b"well\n").expect("it reads");
    assert!(child.wait().expect("it ends").success());
    flip(&segment(dir.path()), 70, 3);
    error_of(&mut command(dir.path(), &["consume", TOPIC]), 1);
    assert_eq!(output_of(&mut command(dir.path(), &["consume", "other"])), "well\n");
    output_of(&mut command(dir.path(), &["log", "verify", "other"]));
    error_of(&mut command(dir.path(), &["log", "verify", TOPIC]), 1);
}

fn append(partition: &Partition, lines: &[String], durable: bool) {
    let mut builder = BatchBuilder::new(Compression::None).expect("it needs no codec");
    for line in lines {
        builder.append(0, None, Some(line.as_bytes()), &[]).expect("it is small");
    }
    let mut batch = builder.finish().expect("there are records");
    match durable {
        true => partition.append_durable(&mut batch),
        false => partition.append(&mut batch),
    }
    .expect("the disk works");
}

#[test]
fn a_torn_tail_is_cut_off_and_nothing_acknowledged_is_lost() {
    // How the tail is torn: bytes cut off the unacknowledged batch, and bytes appended.
    for (cut, garbage) in [(0, 100), (1, 0), (30, 0), (30, 5000), (250, 7), (0, 1 << 20)] {
        let dir = folder();
        let acknowledged = numbered("acknowledged", 20);
        {
            let store = Store::open(dir.path(), StoreOptions::default()).expect("a new store");
            store.create_topic(TOPIC, TopicConfig::default()).expect("a new topic");
            let partition = store.partition(TOPIC, 0).expect("it was created");
            append(&partition, &acknowledged[..15], true);
            append(&partition, &acknowledged[15..], true);
            append(&partition, &numbered("never", 20), false);
            // Dropped, not closed: as a killed process leaves it.
        }
        let path = segment(dir.path());
        let file = OpenOptions::new().write(true).open(&path).expect("it is there");
        let length = file.metadata().expect("it is there").len() - cut;
        file.set_len(length).expect("it can be cut");
        let bytes: Vec<u8> =
            (0..garbage).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        file.write_all_at(&bytes, length).expect("it can be written");

        let text = output_of(&mut command(dir.path(), &["log", "verify"]));
        assert!(text.contains("never acknowledged"), "{cut} {garbage}: {text}");
        let lines = consumed(dir.path());
        assert_eq!(&lines[..20], acknowledged, "{cut} {garbage}");
        // What nobody was told of may be there or not, but whole.
        let rest = if cut == 0 { numbered("never", 20) } else { Vec::new() };
        assert_eq!(&lines[20..], rest, "{cut} {garbage}");
        produced(dir.path(), &numbered("new", 3));
        assert_eq!(consumed(dir.path()).last().map(String::as_str), Some("new-2"));
        let text = output_of(&mut command(dir.path(), &["log", "verify"]));
        assert!(text.contains("all as it was written"), "{cut} {garbage}: {text}");
    }
}

#[test]
fn a_second_process_on_the_data_dir_gets_a_clear_error() {
    let dir = folder();
    produced(dir.path(), &numbered("line", 3));
    let mut holder = command(dir.path(), &["consume", TOPIC, "--follow", "--from-beginning"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut line = String::new();
    let mut stdout = BufReader::new(holder.stdout.take().expect("standard output is piped"));
    stdout.read_line(&mut line).expect("it prints what there is");
    assert_eq!(line, "line-0\n");

    let pid = format!("process {}", holder.id());
    for args in [&["consume", TOPIC][..], &["topic", "list"], &["log", "repair", "--all", "--yes"]]
    {
        let error = error_of(&mut command(dir.path(), args), 1);
        assert!(error.contains("is in use by") && error.contains(&pid), "{args:?}: {error}");
    }
    let output = command(dir.path(), &["log", "verify"]).output().expect("it can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains(&pid), "{stderr}");
    holder.kill().expect("it can be killed");
    holder.wait().expect("it ends");
    assert_eq!(consumed(dir.path()), numbered("line", 3));
}

/// A small disk of its own; unmounted when dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(path: PathBuf, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(&path).expect("a folder can be made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        let output = mount.stdin(Stdio::null()).output().ok()?;
        output.status.success().then_some(SmallDisk { path })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

#[test]
fn on_a_full_disk_nothing_acknowledged_is_lost_and_work_goes_on_when_there_is_room() {
    let dir = folder();
    let Some(disk) = SmallDisk::mount(dir.path().join("disk"), "4m") else {
        eprintln!("SKIPPED: a full disk needs the right to mount one (root with CAP_SYS_ADMIN)");
        return;
    };
    let data_dir = disk.path.join("data");
    let ballast = disk.path.join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).expect("there is room");
    let acknowledged = numbered("acknowledged", 100);
    produced(&data_dir, &acknowledged);

    // As a process: it fails with a clear error,
    let large: Vec<String> = (0..40_000).map(|n| format!("large-{n:0>94}")).collect();
    let output = produce(&data_dir, &large);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no space left"), "{stderr}");
    // and what was acknowledged is there, with a part of the rest, in order.
    fs::remove_file(&ballast).expect("it is there");
    let lines = consumed(&data_dir);
    assert_eq!(&lines[..100], acknowledged);
    let part = &lines[100..];
    assert_eq!(part, &large[..part.len()]);
    assert!(part.len() < large.len(), "not all of it can be there");
    let more = numbered("more", 10);
    produced(&data_dir, &more);
    let expected = [&acknowledged[..], part, &more].concat();
    assert_eq!(consumed(&data_dir), expected);

    // Within one process: the append is undone, and goes on when there is room.
    let used = |path: &Path| fs::metadata(path).expect("it is there").len();
    fs::write(&ballast, vec![0; 1 << 20]).expect("there is room");
    let store = Store::open(&data_dir, StoreOptions::default()).expect("there is room for that");
    let partition = store.partition(TOPIC, 0).expect("it is whole");
    let mut builder = BatchBuilder::new(Compression::None).expect("it needs no codec");
    let mut acknowledged = expected.len();
    let full = loop {
        for n in 0..1000 {
            builder.append(0, None, Some(format!("{n:0>94}").as_bytes()), &[]).expect("small");
        }
        let mut batch = builder.finish().expect("there are records");
        let length = used(&segment(&data_dir));
        match partition.append_durable(&mut batch) {
            Ok(_) => acknowledged += 1000,
            Err(error) => {
                assert_eq!(used(&segment(&data_dir)), length, "the append is undone");
                break error;
            }
        }
    };
    assert!(matches!(full, Error::DiskFull { .. }), "{full}");
    fs::remove_file(&ballast).expect("it is there");
    append(&partition, &more, true);
    store.close().expect("there is room");
    drop((store, partition));
    let lines = consumed(&data_dir);
    assert_eq!(lines.len(), acknowledged + more.len());
    assert!(lines.ends_with(&more));
    output_of(&mut command(&data_dir, &["log", "verify"]));
}
