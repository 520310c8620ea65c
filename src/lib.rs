//! Verdigris
