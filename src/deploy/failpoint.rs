//! Where the crash tests kill the daemon: right after a journal record.

/// A record was journalled. With the feature `failpoints`, and a failpoint `after-record` that fires,
/// the process ends here at once, as if killed.
pub(super) fn passed() {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("after-record", |_| std::process::abort());
}
