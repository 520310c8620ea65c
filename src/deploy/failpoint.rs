//! Where the crash tests kill the daemon: right after what was appended to the journal.

/// Records were journalled, in one append. With the feature `failpoints`, and a failpoint
/// `after-append` that fires, the process ends here at once, as if killed.
pub(super) fn passed() {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("after-append", |_| std::process::abort());
}

/// Takes in what the variable `FAILPOINTS` asks for, once in a process and for the rest of it.
#[cfg(feature = "failpoints")]
pub fn arm() {
    static ARMED: std::sync::Once = std::sync::Once::new();
    ARMED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
}
