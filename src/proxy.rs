//! Keepers: each keeps one proxy true to what it was told.
