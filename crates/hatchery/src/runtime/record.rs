//! What a child leaves on record besides its requests: its last panic, and stacks.

use std::any::Any;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use hatchery_sys::recorder::Recorder;
use hatchery_sys::stack::{self, Registered};

use crate::complain::complain;

/// From now on panics and crashes of this process are on record, and the calling thread can be asked
/// for its stack while the result lives. What goes wrong here is no reason not to serve.
pub(super) fn begin(recorder: &Arc<Recorder>) -> Option<Registered> {
    let writer = Arc::clone(recorder);
    let former = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        note(&writer, panic);
        former(panic);
    }));
    if let Err(error) = stack::install(Arc::clone(recorder)) {
        complain(format_args!("stacks cannot be recorded: {error}"));
    }
    register(0)
}

/// The calling thread, the serving thread `index`, can be asked for its stack while the result lives.
pub(super) fn register(index: usize) -> Option<Registered> {
    // Only the first threads tick, and so can be found to hang.
    if index >= hatchery_sys::page::THREADS_MAX {
        return None;
    }
    let registered = stack::register(index);
    if let Err(error) = &registered {
        complain(format_args!(
            "thread {index} cannot be asked for its stack: {error}"
        ));
    }
    registered.ok()
}

/// How the standard library says that a panic which was told already has nowhere to unwind to, right
/// before it aborts. The one before it is what people look for.
const CONSEQUENCES: [&str; 2] = [
    "panic in a destructor during cleanup",
    "panic in a function that cannot unwind",
];

fn note(recorder: &Recorder, panic: &PanicHookInfo<'_>) {
    if CONSEQUENCES.contains(&panic_message(panic.payload())) {
        return;
    }
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    recorder.record_panic(
        panic_message(panic.payload()),
        location.as_deref().unwrap_or(""),
        thread.name().unwrap_or("unnamed"),
    );
}

/// What a panic was told, where that is text.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
