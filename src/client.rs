//! The typed client of the HTTP API, used by the command line and by tests.
