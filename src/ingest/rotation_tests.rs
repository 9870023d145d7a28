use super::*;

fn known(inode: u64, head: &str, offset: u64) -> FilePosition {
    let mut position = FilePosition { offset, ..FilePosition::new(0, 1, inode) };
    position.note_head(head.as_bytes());
    position
}

fn file(name: &str, inode: u64, head: &str, length: u64) -> Candidate {
    Candidate {
        path: name.into(),
        device: 1,
        inode,
        length,
        compressed: name.ends_with(".gz"),
        head: head.into(),
        regular: true,
    }
}

fn assigned(known: &[(usize, usize)], new: &[usize], lost: Option<usize>) -> Assignment {
    Assignment { known: known.to_vec(), new: new.to_vec(), lost }
}

#[test]
fn first_time_only_the_log_itself() {
    let files = [file("a.1", 1, "x", 9), file("a", 2, "y", 9)];
    assert_eq!(assign(&[], &files), assigned(&[], &[1], None));
    assert_eq!(assign(&[], &[]), assigned(&[], &[], None));
}

#[test]
fn grown() {
    let files = [file("a.1", 1, "x", 9), file("a", 2, "yyy", 99)];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[(0, 1)], &[], None));
}

#[test]
fn renamed_once() {
    let files = [file("a.1", 2, "yyy", 99), file("a", 3, "z", 1)];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[(0, 0)], &[1], None));
}

#[test]
fn renamed_and_nothing_new_yet() {
    let files = [file("a.1", 2, "yyy", 99)];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[(0, 0)], &[], None));
}

#[test]
fn renamed_twice_and_compressed_with_one_never_seen_between() {
    let files = [
        file("a.3.gz", 7, "old", 9),
        file("a.2.gz", 8, "yyy", 99),
        file("a.1", 9, "zzz", 5),
        file("a", 3, "w", 1),
    ];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[(0, 1)], &[2, 3], None));
}

#[test]
fn copied_and_truncated() {
    // The log has its inode still, but is shorter, or grew again and begins otherwise.
    for log in [file("a", 2, "", 0), file("a", 2, "zzz", 70)] {
        let files = [file("a.1", 5, "yyy", 99), log];
        assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[(0, 0)], &[1], None));
    }
}

#[test]
fn being_copied() {
    // The copy is there already, but the log is not truncated yet.
    let files = [file("a.1", 5, "yyy", 60), file("a", 2, "yyy", 99)];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[(0, 1)], &[], None));
}

#[test]
fn being_compressed() {
    // The copy that is complete is read, not the one that gzip is writing.
    let files = [file("a.1.gz", 6, "yyy", 0), file("a.1", 5, "yyy", 99), file("a", 2, "z", 1)];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[(0, 1)], &[2], None));
}

#[test]
fn emptied_and_written_anew() {
    let files = [file("a", 2, "zzz", 20)];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[], &[0], Some(0)));
}

#[test]
fn gone() {
    let files = [file("a.1", 8, "www", 20), file("a", 9, "zzz", 20)];
    assert_eq!(assign(&[known(2, "yyy", 50)], &files), assigned(&[], &[1], Some(0)));
    // Nothing of it was read: nothing is known to be lost.
    assert_eq!(assign(&[known(2, "", 0)], &files), assigned(&[], &[1], None));
}

#[test]
fn a_file_read_before_is_an_anchor_when_the_newest_is_gone() {
    let files = [file("a.2.gz", 4, "old", 20), file("a.1", 8, "www", 20), file("a", 9, "z", 20)];
    let positions = [known(1, "old", 20), known(2, "yyy", 50)];
    assert_eq!(assign(&positions, &files), assigned(&[(0, 0)], &[1, 2], Some(1)));
}

#[test]
fn an_inode_used_again_is_no_sign_by_itself() {
    let positions = [known(1, "old", 20), known(2, "yyy", 50)];
    let files = [file("a.1", 2, "yyy", 50), file("a", 1, "zzz", 90)];
    assert_eq!(assign(&positions, &files), assigned(&[(1, 0)], &[1], None));
}

#[test]
fn a_file_of_which_nothing_was_read() {
    // With nothing else to go by, its inode is a sign.
    let files = [file("a.1", 2, "yyy", 50), file("a", 3, "z", 1)];
    assert_eq!(assign(&[known(2, "", 0)], &files), assigned(&[(0, 0)], &[1], None));
    // It was filled, copied and truncated, so that it looks as before. But there is a file that nobody knows.
    let files = [file("a.2", 1, "xxx", 9), file("a.1", 3, "yyy", 50), file("a", 2, "", 0)];
    let positions = [known(1, "xxx", 9), known(2, "", 0)];
    assert_eq!(assign(&positions, &files), assigned(&[(0, 0)], &[1, 2], None));
}

#[test]
fn files_asked_for_by_name_begin_no_chain() {
    let mut position = known(1, "old", 20);
    position.by_name = true;
    let files = [file("a.2.gz", 1, "old", 20), file("a.1", 2, "www", 20), file("a", 3, "z", 20)];
    assert_eq!(assign(&[position], &files), assigned(&[(0, 0)], &[2], None));
}

#[test]
fn other_files_beside_the_log_are_no_part_of_it() {
    let mut other = file("a.1.save", 5, "sss", 99);
    other.regular = false;
    let files = [file("a.1", 4, "yyy", 50), other, file("a", 9, "z", 20)];
    assert_eq!(assign(&[known(4, "yyy", 50)], &files), assigned(&[(0, 0)], &[2], None));
}

#[test]
fn names() {
    let names: Vec<String> = [
        "access.log",
        "access.log.1",
        "access.log.10.gz",
        "access.log.2.gz",
        "access.log.2",
        "access.log-20260131.gz",
        "access.log-20260201",
        "access.log.save",
        "error.log",
        "access.logs",
    ]
    .map(String::from)
    .into();
    assert_eq!(
        rotated("access.log", &names),
        [
            ("access.logs", false),
            ("access.log.save", false),
            ("access.log-20260131.gz", true),
            ("access.log-20260201", true),
            ("access.log.10.gz", true),
            ("access.log.2.gz", true),
            ("access.log.2", true),
            ("access.log.1", true),
        ]
    );
}

#[test]
fn log_names() {
    for (name, log) in [
        ("access.log", "access.log"),
        ("access.log.gz", "access.log"),
        ("access.log.1", "access.log"),
        ("access.log.12.gz", "access.log"),
        ("access.log-20260131", "access.log"),
        ("access.log-2026-01-31T00.gz", "access.log"),
        ("access.log.2026-01-31", "access.log"),
        ("access-8080.log", "access-8080.log"),
        ("web1.access.log.3", "web1.access.log"),
        ("1", "1"),
        (".1", ".1"),
    ] {
        assert_eq!(log_name(name), log, "{name}");
    }
}
