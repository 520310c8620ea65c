//! A load client for deployments: many connections at a modest rate, and every single request
//! that got no proper answer is counted, with the reason.
//!
//! What *lost* means: the connection was refused or reset, it ended before the answer or within
//! it, the answer took longer than the timeout, or its status was 4xx or 5xx. Nothing is retried,
//! except by the [`Kind::Standard`] client as browsers do.
//!
//! [`Load::start`] begins, [`Load::finish`] ends and gives the [`Report`]. The binary
//! `verdigris-load` does the same from a command line.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod config;
mod connection;
mod histogram;
mod load;
mod loss;
mod recorder;
mod report;
mod tls;

pub use config::{Config, ConfigError, Group, Kind, Target};
pub use load::Load;
pub use loss::{Loss, Reason};
pub use report::{Answer, Counts, KindReport, Latency, LostRequest, Report, Seen};
