//! The attributes, with an example of each.

pub use hatchery_macros::{
    all, app, boot, controller, delete, extend, get, handler, head, load, middleware, options,
    patch, post, predicate, put, router, service,
};
