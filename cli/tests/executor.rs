//! An executor that cannot listen says where, and what to do.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

mod support;

use std::net::TcpListener;

#[test]
fn a_second_executor_on_a_port_is_told_address_port_and_remedy() {
    let first = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = first.local_addr().expect("has an address").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let output = support::tidewaiter(
        folder.path(),
        &["executor", "--scheduler", "http://127.0.0.1:1", "--host", "127.0.0.1", "--port", &port],
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    for part in [&format!("127.0.0.1:{port}"), "--port", "in use"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}
