use std::io::Write;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("a.log")
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).unwrap();
    }

    fn append(&self, bytes: &[u8]) {
        File::options().append(true).open(self.path()).unwrap().write_all(bytes).unwrap();
    }

    fn open(&self, offset: u64) -> Source {
        open(&self.path(), offset)
    }
}

fn open(path: &Path, offset: u64) -> Source {
    let candidate = inspect(path, true).unwrap().unwrap();
    let mut position = FilePosition { offset, ..FilePosition::new(0, 0, 0) };
    position.note_head(&candidate.head);
    Source::open(&candidate, position).unwrap()
}

type Taken = Vec<(Vec<u8>, u64, bool)>;

/// All lines until the end of what is there.
fn read(source: &mut Source, longest: usize) -> Taken {
    let mut lines = Taken::new();
    let take = |lines: &mut Taken, line: Line<'_>| {
        lines.push((line.bytes.to_vec(), line.offset, line.piece));
        Ok::<(), IngestError>(())
    };
    while source.read_lines(longest, |line| take(&mut lines, line)).unwrap() > 0 {}
    lines
}

fn line(text: &str, offset: u64) -> (Vec<u8>, u64, bool) {
    (text.as_bytes().to_vec(), offset, false)
}

#[test]
fn lines_and_what_is_left() {
    let folder = Folder::new();
    folder.write(b"one\n\ntwo\r\nthr");
    let mut source = folder.open(0);
    let expected = vec![line("one", 0), line("", 4), line("two\r", 5)];
    assert_eq!(read(&mut source, 100), expected);
    assert_eq!((source.position.offset, source.has_rest()), (10, true));
    folder.append(b"ee\nfour");
    assert_eq!(read(&mut source, 100), [line("three", 10)]);
    let mut rest = Vec::new();
    let take = |line: Line<'_>| {
        rest.push(line.bytes.to_vec());
        Ok::<(), IngestError>(())
    };
    source.finish(take).unwrap();
    assert_eq!(rest, [b"four"]);
    assert_eq!((source.position.offset, source.has_rest()), (20, false));
}

#[test]
fn from_a_position() {
    let folder = Folder::new();
    folder.write(b"one\ntwo\nthree\n");
    assert_eq!(read(&mut folder.open(4), 100), [line("two", 4), line("three", 8)]);
}

#[test]
fn many_reads_of_many_lines() {
    let folder = Folder::new();
    // Lines of all lengths, across the ends of reads.
    let lines: Vec<Vec<u8>> = (0..3000).map(|n| vec![b'a' + (n % 26) as u8; n % 701]).collect();
    let text = lines.join(&b'\n');
    assert!(text.len() > 3 * READ_LEN);
    folder.write(&[&text[..], b"\n"].concat());
    let mut source = folder.open(0);
    let read: Vec<Vec<u8>> = read(&mut source, 1000).into_iter().map(|line| line.0).collect();
    assert!(read == lines);
    assert_eq!(source.position.offset as usize, text.len() + 1);
    assert_eq!(source.position.head_length as usize, HEAD_LEN);
}

#[test]
fn lines_that_are_too_long_come_in_pieces() {
    let folder = Folder::new();
    let long = vec![b'x'; 2 * READ_LEN + 10];
    folder.write(&[b"one\n", &long[..], b"\ntwo\n"].concat());
    let mut source = folder.open(0);
    let lines = read(&mut source, 1000);
    let (pieces, whole): (Taken, Taken) = lines.into_iter().partition(|line| line.2);
    assert_eq!(whole, [line("one", 0), line("two", 4 + long.len() as u64 + 1)]);
    assert_eq!(pieces.len(), 3);
    assert!(pieces.iter().map(|piece| &piece.0[..]).collect::<Vec<_>>().concat() == long);

    // Going on within one: the rest of it is no line either.
    let mut source = folder.open(4 + READ_LEN as u64);
    source.position.within_line = true;
    let pieces: Vec<bool> = read(&mut source, 1000).into_iter().map(|line| line.2).collect();
    assert_eq!(pieces, [true, true, false]);
}

#[test]
fn compressed() {
    let folder = Folder::new();
    let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
    let path = folder.0.path().join("a.log.1.gz");
    let mut gz = Vec::new();
    // Two members, as `cat a.gz b.gz` makes.
    for part in [&text[..500], &text[500..]] {
        let mut encoder = flate2::write::GzEncoder::new(&mut gz, flate2::Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    fs::write(&path, &gz).unwrap();
    let candidate = inspect(&path, true).unwrap().unwrap();
    assert!(candidate.compressed && candidate.head == text.as_bytes()[..HEAD_LEN]);
    let lines = read(&mut open(&path, 0), 100);
    assert_eq!(lines.len(), 100_000);
    assert_eq!(read(&mut open(&path, lines[70_000].1), 100), lines[70_000..]);
    assert_eq!(read(&mut open(&path, text.len() as u64), 100), []);

    // Cut short: what can be read is, then there is an error that names the file.
    fs::write(&path, &gz[..gz.len() / 2]).unwrap();
    let mut source = open(&path, 0);
    let mut count = 0;
    let error = loop {
        match source.read_lines(100, |_| {
            count += 1;
            Ok::<(), IngestError>(())
        }) {
            Ok(read) => assert!(read > 0, "the end of a file that has none"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(count > 1000 && error.contains("cannot decompress") && error.contains("a.log.1.gz"));
}

#[test]
fn fates() {
    let folder = Folder::new();
    folder.write(b"one\ntwo\nthr");
    let mut source = folder.open(0);
    read(&mut source, 100);
    assert_eq!(source.fate().unwrap(), Fate::Same);
    folder.append(b"ee\n");
    assert_eq!(source.fate().unwrap(), Fate::Same);
    for other in
        [&b""[..], b"one\ntwo\nth", b"One\ntwo\nthree\n", b"another, and longer than it was\n"]
    {
        folder.write(other);
        assert_eq!(source.fate().unwrap(), Fate::Truncated, "{}", other.escape_ascii());
    }
    assert!(source.is_at(&folder.path()));
    fs::remove_file(folder.path()).unwrap();
    assert!(!source.is_at(&folder.path()));
}

#[test]
fn what_is_no_file() {
    let folder = Folder::new();
    assert!(inspect(&folder.path(), true).unwrap().is_none());
    let error = inspect(folder.0.path(), true).unwrap_err();
    assert!(matches!(error, IngestError::NotAFile { .. }));
}
