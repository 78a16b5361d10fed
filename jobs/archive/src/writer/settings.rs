//! The sizes of a writer.

/// How much a writer buffers, and how large its files and their row groups become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterSettings {
    /// Bytes of rows and upload buffers that are held for all months together, at most.
    pub memory_bytes: usize,
    /// The size, in bytes, at which a file is closed and the next one begun.
    pub target_file_bytes: u64,
    /// The most rows in a row group.
    pub row_group_rows: usize,
    /// The most bytes in a row group, approximately.
    pub row_group_bytes: usize,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            memory_bytes: 384 << 20,
            target_file_bytes: 256 << 20,
            row_group_rows: 1 << 20,
            row_group_bytes: 128 << 20,
        }
    }
}
