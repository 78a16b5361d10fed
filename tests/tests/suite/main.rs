//! The tests over several crates that need the whole engine, as one program: it is linked once.

mod codecs;
mod placement;
mod store;
mod toy_domain;
