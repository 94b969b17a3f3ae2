//! The invariants of absence in `ARCHITECTURE.md`, as tests: see `tests/tidy.rs`.
