//! Nothing: cargo takes account of build dependencies only of packages with a build script.
fn main() {}
