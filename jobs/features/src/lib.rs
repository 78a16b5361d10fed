//! Nothing: this crate's manifest makes the features of shared dependencies equal for every crate of the workspace.
