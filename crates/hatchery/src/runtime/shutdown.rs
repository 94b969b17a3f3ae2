//! The sign by which the agent's hook learns that it is to stop.

use tokio::sync::watch;

/// Says when the process is to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// Gives the sign; dropping it gives it too.
#[derive(Debug)]
pub(crate) struct ShutdownSender(watch::Sender<bool>);

impl Shutdown {
    pub(crate) fn new() -> (ShutdownSender, Self) {
        let (sender, requested) = watch::channel(false);
        (ShutdownSender(sender), Self { requested })
    }

    /// Returns when the process is to stop; at once when it is stopping already. The hook then has
    /// `drain_timeout` to finish what it does.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        // An error says that the sender is gone: that is the sign, too.
        let _ = requested.wait_for(|requested| *requested).await;
    }

    /// Whether the process is to stop.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }
}

impl ShutdownSender {
    pub(crate) fn request(&self) {
        self.0.send_replace(true);
    }
}
