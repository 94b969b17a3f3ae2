//! How short memory is, as the master tells it: for the application's code and the serving threads.

use tokio::sync::watch;

/// How short memory is for the whole service: a step of the master's ladder. A step includes what
/// those below it ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PressureLevel {
    /// It is not.
    #[default]
    None,
    /// Caches and pools should give back what they can do without.
    Trim,
    /// The pool does not grow: no `scale` upwards, no stand-ins, no spares.
    Hold,
    /// The pool shrinks: the fattest worker is recycled.
    Shrink,
    /// Workers refuse what is above half of their usual concurrency, with a 503.
    Shed,
}

impl PressureLevel {
    /// The step of that number; a master that is newer than this may know more than ours.
    pub(crate) fn from_number(level: u8) -> Self {
        match level {
            0 => Self::None,
            1 => Self::Trim,
            2 => Self::Hold,
            3 => Self::Shrink,
            _ => Self::Shed,
        }
    }
}

/// How short memory is now, and from now on. Cheap to clone; each clone remembers for itself what
/// it has told.
///
/// The master looks every `memory_interval`, and at once when the kernel tells that memory has
/// become short. A process that runs without a master (`--single`, tests) is never told.
#[derive(Clone, Debug)]
pub struct MemoryPressure(watch::Receiver<PressureLevel>);

impl MemoryPressure {
    pub(crate) fn new() -> (watch::Sender<PressureLevel>, Self) {
        let (sender, receiver) = watch::channel(PressureLevel::None);
        (sender, Self(receiver))
    }

    /// The level now.
    pub fn level(&self) -> PressureLevel {
        *self.0.borrow()
    }

    /// Waits until the level is another than this handle has told of or was made at; gives the new
    /// one. Levels that came and went meanwhile are left out. Safe to cancel, in a `select!` for
    /// example.
    pub async fn changed(&mut self) -> PressureLevel {
        if self.0.changed().await.is_err() {
            // Nobody is left who could tell: the process is ending.
            std::future::pending::<()>().await;
        }
        *self.0.borrow_and_update()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_in_their_order() {
        let steps = [0, 1, 2, 3, 4, 5, 255].map(PressureLevel::from_number);
        assert!(steps.is_sorted());
        assert_eq!(steps[0], PressureLevel::default());
        assert_eq!(steps[6], PressureLevel::Shed);
    }

    #[tokio::test]
    async fn each_handle_tells_each_change_once() {
        let (sender, mut one) = MemoryPressure::new();
        let mut other = one.clone();
        sender.send_replace(PressureLevel::Trim);
        sender.send_replace(PressureLevel::Shed);
        assert_eq!(one.changed().await, PressureLevel::Shed);
        assert_eq!(other.level(), PressureLevel::Shed);
        assert_eq!(other.changed().await, PressureLevel::Shed);
        let again = tokio::time::timeout(std::time::Duration::from_millis(5), one.changed());
        assert!(again.await.is_err());
        drop(sender);
        let ending = tokio::time::timeout(std::time::Duration::from_millis(5), one.changed());
        assert!(ending.await.is_err());
    }
}
