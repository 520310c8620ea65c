//! Verdigris
fn main() {}
