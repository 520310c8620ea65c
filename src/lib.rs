//! Verdigris: blue-green deployments for Docker Swarm, with service discovery.

pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod config;
pub mod deploy;
pub mod discovery;
pub mod docker;
mod document;
pub mod gate;
pub mod journal;
pub mod lines;
pub mod model;
pub mod proxy;
pub mod registry;
pub mod sqlite;
pub mod stack;
pub mod swarm;
pub mod tls;
pub mod webhook;
