//! From start to close: the hooks of applications, agents, plugins and frameworks.

mod boot;

#[doc(hidden)]
pub use boot::ErasedBoot;
pub use boot::{Boot, BootRole};
