//! What an error says of itself.

use super::*;

fn missing() -> Result<(), Error> {
    std::fs::read("/nowhere/at/all").map(drop)?;
    Ok(())
}

#[test]
fn the_question_mark_knows_its_line_and_the_cause() {
    let error = missing().unwrap_err();
    assert!(error.place().file().ends_with("error/tests.rs"));
    assert_eq!(error.place().line(), 6);
    assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(error.to_string().starts_with("No such file"));
    assert!(error.causes().is_empty());
    let text = format!(
        "{:?}",
        Error::internal("cannot read").with_source("disk full")
    );
    assert!(text.starts_with("500 cannot read: disk full ("), "{text}");
}

#[test]
fn without_the_framework_it_is_text_that_hides_a_5xx() {
    let response = missing().unwrap_err().into_response();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        missing().unwrap_err().message_for_client(false),
        "Internal Server Error"
    );
    let shown = Error::not_found("no such post");
    assert_eq!(shown.message_for_client(false), "no such post");
}
