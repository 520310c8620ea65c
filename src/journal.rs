//! The durable store of journals, events and releases, in `SQLite`.
