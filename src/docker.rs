//! A thin client of the Docker Engine API: no adapter by itself, but what the adapters `swarm` and
//! `gate` speak to an engine with.
//!
//! Bodies are the engine's own JSON in both directions. A service spec that is read and put back
//! must come back byte for byte, so it never passes through a typed model that would drop the fields
//! it does not know; and nothing that is sent is ever logged, because environments hold secrets.

mod client;
mod connect;
mod container;
mod credentials;
mod endpoint;
mod error;
mod frames;
mod image;
mod tls;

pub use client::{Call, Client, Settings};
pub use container::{Attached, Container, Ending, Exit};
pub use credentials::{Credentials, RegistryAuth};
pub use endpoint::{Endpoint, ParseEndpointError, TlsFiles};
pub use error::{Error, NOT_A_MANAGER};
pub use frames::{Frame, Frames, Lines, Source};
pub use image::{ImageError, LocalImage};
