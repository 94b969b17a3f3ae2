//! What the compiler says of attributes and traits that are used wrongly: at which token, and what
//! to do about it.
//!
//! `TRYBUILD=overwrite cargo test -p hatchery --test ui` writes the expected texts anew.

#[test]
fn errors_point_at_what_is_wrong_and_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/attributes.rs");
    cases.compile_fail("tests/ui/traits.rs");
}
