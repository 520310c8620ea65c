//! The command line: one file per verb, each one call to the daemon.
