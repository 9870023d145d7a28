//! Tests of taking a Rust file apart.

use super::*;

const NAMES: &[&str] = &["todo", "dbg"];

fn calls(text: &str) -> Vec<(usize, &'static str)> {
    Source::parse(text).macro_calls(NAMES)
}

#[test]
fn a_macro_call_is_found_however_it_is_written() {
    assert_eq!(calls("fn a() { todo!() }"), [(1, "todo")]);
    assert_eq!(calls("\nfn a() {\n    std::dbg !(1);\n}"), [(3, "dbg")]);
    assert_eq!(calls("fn a() { dbg![1]; todo!{} }"), [(1, "dbg"), (1, "todo")]);
    assert_eq!(calls("macro_rules! m { () => { todo!() } }"), [(1, "todo")]);
}

#[test]
fn other_uses_of_the_word_are_not_calls() {
    assert_eq!(calls("fn todo() { not_todo!(); todo_list!(); }"), []);
    assert_eq!(calls("fn a(todo: bool) -> bool { todo != true }"), []);
}

#[test]
fn comments_and_literals_are_no_code() {
    assert_eq!(calls("// todo!()\n/* dbg!(1) /* todo!() */ dbg!(2) */ fn a() {}"), []);
    assert_eq!(calls(r#"const A: &str = "a \" todo!()"; const B: &[u8] = b"dbg!(1)";"#), []);
    assert_eq!(calls("const A: &str = r#\"\" todo!() \"#; const B: &str = r\"dbg!(\\\";"), []);
    assert_eq!(calls("const A: &[u8] = br##\"\"# todo!() \"##;"), []);
}

#[test]
fn code_after_a_literal_or_comment_is_code_again() {
    assert_eq!(calls("const A: char = '\"'; fn a() { todo!() }"), [(1, "todo")]);
    assert_eq!(calls("const A: char = '\\''; fn a() { todo!() }"), [(1, "todo")]);
    assert_eq!(calls("const A: char = '\\u{1F600}'; fn a() { todo!() }"), [(1, "todo")]);
    assert_eq!(
        calls("const A: char = 'é'; const B: u8 = b'\"'; fn a() { todo!() }"),
        [(1, "todo")]
    );
    assert_eq!(calls("fn a<'a>(s: &'a str) -> &'a str { todo!() }"), [(1, "todo")]);
    assert_eq!(calls("fn a(r: u8) { let r#type = r; todo!() }"), [(1, "todo")]);
    assert_eq!(calls("const A: &str = \"über\"; /* é */ fn a() { todo!() }"), [(1, "todo")]);
}

#[test]
fn a_doc_example_is_code_and_a_text_block_is_not() {
    assert_eq!(calls("/// ```\n/// todo!()\n/// ```\nfn a() {}"), [(2, "todo")]);
    assert_eq!(calls("/// ```text\n/// todo!()\n/// ```\nfn a() {}"), []);
    assert_eq!(calls("/// Never `todo!()`.\nfn a() {}"), []);
}

#[test]
fn a_path_is_found_as_a_whole_word() {
    let source =
        Source::parse("use std::net::TcpStream;\n// std::net\nuse std::network;\nuse std::net;");
    assert_eq!(source.mentions(&["std::net", "tokio"]), [(1, "std::net"), (4, "std::net")]);
}

#[test]
fn lines_of_tests_do_not_count() {
    let count = |text: &str| Source::parse(text).lines_outside_tests();
    assert_eq!(count(""), 0);
    assert_eq!(count("fn a() {}"), 1);
    assert_eq!(count("fn a() {}\n\n// b\n"), 3);
    assert_eq!(count("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 2);
    assert_eq!(count("#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\nfn a() {}\n"), 2);
    assert_eq!(count("#[cfg(test)]\nuse a::{b, c};\n#[cfg(test)]\nfn d() {\n}\nfn a() {}\n"), 3);
    assert_eq!(count("const A: &str = \"#[cfg(test)]\";\nfn a() {}\n"), 2);
}

#[test]
fn inner_docs_are_seen_behind_a_shebang() {
    let has_docs = |text: &str| Source::parse(text).has_inner_docs();
    assert!(has_docs("//! Docs.\n"));
    assert!(has_docs("#!/usr/bin/env run\n//! Docs.\n"));
    assert!(has_docs("#![no_std]\n\n//! Docs.\n"));
    assert!(!has_docs("// Not docs.\n//! Docs.\n"));
    assert!(!has_docs(""));
}
