//! Where instances, colours and routes are recorded: `embedded` or `consul`.

pub mod consul;
pub mod embedded;
