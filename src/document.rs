//! Texts that people write, YAML or TOML, read into typed records.
//!
//! A typed deserialiser stops at the first thing it dislikes. People want all of it at once, with
//! the place and the way out. So a text becomes a tree of [`Node`]s that know their place, and
//! records read themselves out of it, reporting to [`Problems`] instead of giving up.

mod leaf;
mod load_error;
mod node;
mod problem;
mod quantity;
mod read;
mod record;
mod suggest;
mod table;
mod toml;
mod yaml;

#[cfg(test)]
mod tests;

pub use load_error::LoadError;
pub use problem::{Place, Problem, Problems};

pub(crate) use leaf::{Leaf, leaf, parse_whole, reason};
pub(crate) use load_error::read_text;
pub(crate) use node::{Entry, Node, Scalar, ScalarKind, Value};
pub(crate) use quantity::{parse_cpus, parse_duration, parse_size};
pub(crate) use read::{At, Read, Whole};
pub(crate) use record::record;
pub(crate) use suggest::nearest;
pub(crate) use table::{Refusal, Table, is_extension};
pub(crate) use toml::parse_toml;
pub(crate) use yaml::parse_yaml;
