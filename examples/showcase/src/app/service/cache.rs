//! A cache that is given up when memory becomes short: what `memory_pressure()` is for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hatchery::http::StatusCode;
use hatchery::{Application, Context, PressureLevel};

/// Most that the cache holds, MiB.
const CACHE_MB_MAX: usize = 1024;

/// What one worker has cached; here, only ballast.
static CACHED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The worker's cache, as a request sees it.
#[hatchery::service]
pub(crate) struct Cache {
    ctx: Context,
}

impl Cache {
    /// What is in it, MiB, and how short memory is.
    pub(crate) fn look(&self) -> (usize, PressureLevel) {
        (cached().len(), self.ctx.app().memory_pressure().level())
    }

    /// Puts more into it, while memory is not short.
    pub(crate) fn fill(&self, mb: usize) -> StatusCode {
        let (held_mb, level) = self.look();
        if level >= PressureLevel::Trim {
            return StatusCode::INSUFFICIENT_STORAGE;
        }
        if held_mb.saturating_add(mb) > CACHE_MB_MAX {
            return StatusCode::BAD_REQUEST;
        }
        // Not zeros: those come from the kernel untouched and count for nothing.
        let blocks = (0..mb).map(|_| vec![0x5a; 1 << 20]);
        cached().extend(blocks);
        StatusCode::NO_CONTENT
    }
}

/// Gives the cache up whenever memory becomes short.
pub(crate) async fn trim(app: Application) {
    let mut pressure = app.memory_pressure();
    loop {
        if pressure.level() >= PressureLevel::Trim {
            cached().clear();
        }
        pressure.changed().await;
    }
}

fn cached() -> MutexGuard<'static, Vec<Vec<u8>>> {
    CACHED.lock().unwrap_or_else(PoisonError::into_inner)
}
