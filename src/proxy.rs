//! Keepers: each keeps one proxy true to what it was told.
//!
//! A deployment moves traffic by *stage, then flip*: the idle colour's instances are put into the
//! proxy without public effect, then one atomic act per proxy moves the public requests (nginx: a
//! flag file, `HAProxy`: a map entry). A reload is never the switch.
//!
//! - `routing`, `page`, `template`, `render`, `map`: pure; services in, text out
//! - `install`, `command`, `state`, `lock`: files and child processes
//! - `nginx`, `haproxy`: what one kind of proxy needs to be observed and moved
//! - `keeper`: the task that owns one proxy; `fleet`: all of them, behind the port

mod apart;
mod certificates;
mod check;
mod command;
mod doctor;
mod error;
mod fleet;
mod haproxy;
mod install;
mod keeper;
mod listener;
mod lock;
mod logs;
mod map;
mod names;
mod nginx;
mod page;
mod probe;
mod render;
mod roster;
mod routing;
mod secret;
mod settings;
mod state;
mod tcp;
mod template;
mod user;
mod watch;

pub use check::{check, check_template};
pub use doctor::rehearse;
pub use error::Error;
pub use fleet::Fleet;
pub use render::{Rendition, preview};
pub use settings::{Kind, Settings};
