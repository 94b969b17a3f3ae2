//! For whoever asks whether this worker is there.

/// Its route stands with it: no other file names it.
#[hatchery::get("/healthy", name = "healthy")]
async fn healthy() -> &'static str {
    "yes"
}
