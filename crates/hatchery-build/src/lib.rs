//! Finds the files of an application's `src/app` when it is built.
