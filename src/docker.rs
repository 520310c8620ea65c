//! The Docker Engine API: no adapter by itself, but what the adapters `swarm` and `gate` speak to an
//! engine with.
//!
//! Containers, images, nodes, networks, events and the engine itself go through bollard. Swarm
//! services and tasks do not: a service spec that is read and put back must come back byte for byte,
//! and bollard's model drops what it does not know (the health check, among others). Both share the
//! connections, TLS set-up and API version of one `Client`. Nothing that is sent is ever logged,
//! because environments hold secrets.

mod client;
mod connect;
mod container;
mod credentials;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod lines;
mod ssh;
mod transport;

use std::collections::HashMap;

pub use client::{Call, Client, Settings};
pub use container::{Attached, Container, Ending, Exit};
pub use credentials::{Credentials, RegistryAuth};
pub use endpoint::{Endpoint, ParseEndpointError, TlsFiles};
pub use error::{Error, NOT_A_MANAGER};
pub use image::{ImageError, LocalImage};
pub use lines::Lines;

/// What a list is narrowed down by: keys and values, as the engine wants them.
pub(crate) fn filters(filters: &[(&str, &[&str])]) -> HashMap<String, Vec<String>> {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    filters.iter().map(|(key, values)| ((*key).to_owned(), owned(values))).collect()
}
