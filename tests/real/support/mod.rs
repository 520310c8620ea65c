//! What the tests of a whole daemon on real parts share.

pub mod bed;
pub mod curl;
pub mod daemon;
pub mod disk;
pub mod expected;
pub mod machine;
pub mod picture;
#[allow(dead_code, reason = "the tests of webhooks alone need all of it")]
#[path = "../../webhook/receiver.rs"]
pub mod receiver;
pub mod reloads;
pub mod run;
pub mod stack;
pub mod traffic;
pub mod world;

pub use expected::Expected;
pub use picture::Picture;
pub use stack::Stack;
pub use traffic::Traffic;
pub use world::{Proxy, Registry, World};
