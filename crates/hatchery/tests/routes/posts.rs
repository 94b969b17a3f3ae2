//! A controller.

#[hatchery::get("/posts/{id}", name = "post")]
pub(crate) async fn show() -> &'static str {
    "a post"
}
