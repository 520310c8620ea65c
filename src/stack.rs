//! Compose files with an `x-verdigris` block, read into the model, with positions in errors.
//!
//! `${VARIABLE}`s are replaced in the values of the parsed tree, never in the text, so positions stay
//! right and no value can become structure. A variable that is not set and has no default is an
//! error, other than in compose: a deployment should not run with half an image name.
//!
//! Networks, volumes, secrets and configs are those of the Swarm: the name is what the file declares
//! as `name`, else the key itself. No project's name is put before it, and nothing is created.

mod block;
mod compose;
mod declared;
mod dotenv;
mod file;
mod interpolate;
mod leaves;
mod load;
mod policy;
mod schema;
mod split;
mod workload;
mod written;

pub use crate::document::{LoadError, Place, Problem, Problems};
pub use load::{Options, Source, load, load_one};
pub use policy::{
    APPROVAL_EXPIRES, BAKE_MAX_ERRORS, BAKE_MIN_REQUESTS, DEADLINE, DRAIN, GATE_TIMEOUT,
    ROUTE_PATH, STABLE_FOR,
};
pub use schema::schema;
pub use written::check;

/// The key of the block that asks for blue-green deployment.
const BLOCK: &str = "x-verdigris";

#[cfg(test)]
mod tests;
