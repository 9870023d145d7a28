use proptest::prelude::*;

use super::*;

/// The result over rows that are cut into pieces at will, each piece aggregated on its own.
fn in_pieces<A: Aggregate>(aggregate: &A, rows: &[A::Input], cuts: &[bool]) -> A::Output {
    let mut all: Option<A::Accumulator> = None;
    let mut piece = aggregate.create();
    let mut is_empty = true;
    for (at, row) in rows.iter().enumerate() {
        aggregate.add(&mut piece, row.clone());
        is_empty = false;
        if cuts.get(at) == Some(&true) {
            let piece = std::mem::replace(&mut piece, aggregate.create());
            is_empty = true;
            match &mut all {
                Some(all) => aggregate.merge(all, piece),
                None => all = Some(piece),
            }
        }
    }
    match all {
        Some(mut all) if !is_empty => {
            aggregate.merge(&mut all, piece);
            aggregate.result(all)
        }
        Some(all) => aggregate.result(all),
        None => aggregate.result(piece),
    }
}

proptest! {
    #[test]
    fn pieces_do_not_matter(rows in proptest::collection::vec(-1000i64..1000, 1..50), cuts in proptest::collection::vec(any::<bool>(), 50)) {
        prop_assert_eq!(in_pieces(&Count::default(), &rows, &cuts), rows.len() as u64);
        prop_assert_eq!(in_pieces(&Sum::of(|n: &i64| *n), &rows, &cuts), rows.iter().sum::<i64>());
        prop_assert_eq!(Some(in_pieces(&Min::of(|n: &i64| *n), &rows, &cuts)), rows.iter().copied().min());
        prop_assert_eq!(Some(in_pieces(&Max::of(|n: &i64| *n), &rows, &cuts)), rows.iter().copied().max());
        let mean = rows.iter().sum::<i64>() as f64 / rows.len() as f64;
        let average = in_pieces(&Average::of(|n: &i64| *n), &rows, &cuts);
        prop_assert!((average - mean).abs() < 1e-9);
        let longest = in_pieces(&Reduce::by(|a: i64, b: i64| a.max(b)), &rows, &cuts);
        prop_assert_eq!(Some(longest), rows.iter().copied().max());
    }
}

#[test]
fn not_a_number_loses_against_every_number() {
    for rows in [[f64::NAN, 2.0, 3.0], [2.0, f64::NAN, 3.0], [2.0, 3.0, f64::NAN]] {
        for cuts in [[false; 3], [true; 3]] {
            assert_eq!(in_pieces(&Min::of(|n: &f64| *n), &rows, &cuts), 2.0);
            assert_eq!(in_pieces(&Max::of(|n: &f64| *n), &rows, &cuts), 3.0);
        }
    }
    assert!(in_pieces(&Min::of(|n: &f64| *n), &[f64::NAN], &[]).is_nan());
}

#[test]
#[should_panic(expected = "a sum does not fit into u8")]
fn a_sum_that_does_not_fit_is_no_result() {
    in_pieces(&Sum::of(|n: &u8| *n), &[200, 100], &[]);
}
