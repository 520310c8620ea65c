//! Reconciliation: what is observed is compared with what should be, and mended.
