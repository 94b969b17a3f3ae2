//! Finds what is in `src/app`.

fn main() {
    hatchery_build::scan();
}
