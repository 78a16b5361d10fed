//! End-to-end, fault and conformance tests live in `tests/`; this library is empty.
