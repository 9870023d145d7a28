use super::*;

fn identity(id: i64) -> ProducerIdentity {
    ProducerIdentity { id, epoch: 3 }
}

#[test]
fn the_first_batch_opens_and_the_marker_ends() {
    let mut transactions = Transactions::default();
    transactions.on_appended(identity(1), 10);
    transactions.on_appended(identity(1), 12);
    let open = OpenTransaction { identity: identity(1), first_offset: 10 };
    assert_eq!(transactions.open(1), Some(&open));
    let done = transactions.on_marker(1, TransactionOutcome::Commit, 13).expect("was open");
    assert_eq!((done.transaction, done.marker_offset, done.aborted), (open, 13, None));
    assert_eq!(transactions.open(1), None);
    assert_eq!(transactions.on_marker(1, TransactionOutcome::Commit, 14), None);
}

#[test]
fn readers_wait_until_the_marker_is_below_the_high_watermark() {
    let mut transactions = Transactions::default();
    assert_eq!(transactions.last_stable_offset(5), 5);
    transactions.on_appended(identity(1), 5);
    assert_eq!(transactions.last_stable_offset(5), 5, "never above the high watermark");
    assert_eq!(transactions.last_stable_offset(8), 5);
    transactions.on_marker(1, TransactionOutcome::Commit, 8);
    assert_eq!(transactions.last_stable_offset(8), 5, "the marker is not durable");
    transactions.on_high_watermark(8);
    assert_eq!(transactions.last_stable_offset(8), 5, "the marker is at the frontier");
    transactions.on_high_watermark(9);
    assert_eq!(transactions.last_stable_offset(9), 9);
}

#[test]
fn the_earliest_of_several_holds_back() {
    let mut transactions = Transactions::default();
    transactions.on_appended(identity(1), 0);
    transactions.on_appended(identity(2), 1);
    transactions.on_appended(identity(3), 2);
    let two = transactions.on_marker(2, TransactionOutcome::Abort, 3).expect("open");
    assert_eq!(two.aborted.map(|a| a.last_stable_offset), Some(0));
    let one = transactions.on_marker(1, TransactionOutcome::Abort, 4).expect("open");
    assert_eq!(one.aborted.map(|a| a.last_stable_offset), Some(2));
    transactions.on_high_watermark(5);
    assert_eq!(transactions.last_stable_offset(5), 2);
    let three = transactions.on_marker(3, TransactionOutcome::Abort, 5).expect("open");
    assert_eq!(three.aborted.map(|a| a.last_stable_offset), Some(6));
    transactions.on_high_watermark(6);
    assert_eq!(transactions.last_stable_offset(6), 6);
}
