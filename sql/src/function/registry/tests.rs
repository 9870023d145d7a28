use super::*;

fn registry() -> FunctionRegistry {
    FunctionRegistry::new(Arc::new(ManualClock::new(0)), 1)
}

#[test]
fn names_are_found_in_any_case_and_by_alias() {
    let registry = registry();
    assert!(registry.scalar("ABS").is_some());
    assert!(registry.scalar("char_length").is_some());
    assert!(registry.aggregate("Stddev_Samp").is_some());
    assert!(registry.window("LAG").is_some());
    assert!(registry.scalar("nonsense").is_none());
}

#[test]
fn names_are_sorted_and_unique() {
    let registry = registry();
    let names = registry.names();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(names.contains(&"json_object") && !names.contains(&"json_object_of"));
    assert!(names.contains(&"count") && names.contains(&"row_number") && names.contains(&"abs"));
}

#[test]
fn a_slip_gets_a_suggestion_and_nonsense_none() {
    let registry = registry();
    assert_eq!(registry.suggestion("cont"), Some("cot"));
    assert_eq!(registry.suggestion("row_numbr"), Some("row_number"));
    assert_eq!(registry.suggestion("completely_different_thing"), None);
}
