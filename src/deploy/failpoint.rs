//! Where the crash tests kill the daemon: right after a journal record.

/// A record was journalled. With the feature `failpoints`, and a failpoint `after-record` that fires,
/// the process ends here at once, as if killed.
pub(super) fn passed() {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("after-record", |_| std::process::abort());
}

/// Takes in what the variable `FAILPOINTS` asks for, once in a process and for the rest of it.
#[cfg(feature = "failpoints")]
pub fn arm() {
    static ARMED: std::sync::Once = std::sync::Once::new();
    ARMED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
}
