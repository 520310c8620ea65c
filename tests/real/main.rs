//! Tests on real parts: a real Swarm, nginx, HAProxy, Consul and registry of images, and the real
//! daemon. They bring testbeds up by themselves and take them down; where that is not possible they
//! say so and are left out (`VERDIGRIS_REAL=1` makes that a failure, `VERDIGRIS_REAL=0` a wish).

#![allow(clippy::unwrap_used, reason = "a test may")]

mod clock;
mod commands;
mod crash;
mod deadlines;
mod demo;
mod doors;
mod engine_away;
mod examined;
mod failures;
mod gate;
mod gates_together;
mod interruptions;
mod lost_node;
mod mid_deployment;
mod operators_stacks;
mod outages;
mod overlay;
mod private_world;
mod proxies_killed;
mod refused;
mod releases;
mod rescheduled;
mod retention;
mod reverts;
mod rivals;
mod rivals_paused;
mod secrets;
mod secure;
mod setup;
mod stuck;
mod support;
mod swarm;
mod templates;
mod testbed;
mod turns;
mod upgrades;
mod verbs;
