use proptest::prelude::*;

use super::*;

#[test]
fn doubles_are_rounded_as_they_are_shown() {
    let round = |value, digits| Rounding::HalfUp.double(value, digits, &mut String::new());
    let truncate = |value, digits| Rounding::Down.double(value, digits, &mut String::new());
    assert_eq!(round(1.005, 2), 1.01);
    assert_eq!(round(-1.005, 2), -1.01);
    assert_eq!(round(2.5, 0), 3.0);
    assert_eq!(round(1e300, 2), 1e300);
    assert_eq!(round(1e-300, 2), 0.0);
    assert_eq!(round(1250.0, -2), 1300.0);
    assert_eq!(truncate(0.29, 2), 0.29);
    assert_eq!(truncate(-42.345, 1), -42.3);
    assert!(round(f64::NAN, 1).is_nan());
}

proptest! {
    /// Integers against a definition that does not divide.
    #[test]
    fn whole_units(value in -10_000_i128..10_000, unit in 1_i128..500) {
        let down = Rounding::Down.divided(value, unit) * unit;
        prop_assert!(down.abs() <= value.abs() && (value - down).abs() < unit);
        let near = Rounding::HalfUp.divided(value, unit) * unit;
        prop_assert!(2 * (value - near).abs() <= unit);
        prop_assert!(2 * (value - near).abs() < unit || near.abs() > value.abs());
        let floor = Rounding::Floor.divided(value, unit) * unit;
        prop_assert!(floor <= value && value < floor + unit);
        let ceil = Rounding::Ceil.divided(value, unit) * unit;
        prop_assert!(ceil >= value && value > ceil - unit);
    }
}
