//! Compose's part of a stack file, as it is written: records that know their place.

mod deploy;
mod healthcheck;
mod lists;
mod mounts;
mod networks;
mod refused;
mod secrets;
mod service;

pub(super) use deploy::{Deploy, LimitsRecord, RestartRecord};
pub(super) use healthcheck::HealthRecord;
pub(super) use lists::{CommandLine, OneOrMany, Pairs};
pub(super) use mounts::{MountUse, TmpfsUse};
pub(super) use networks::NetworkUses;
pub(super) use refused::refuse_at_top;
pub(super) use secrets::FileUse;
pub(super) use service::{EnvFile, LoggingRecord, Service, Ulimits, has_block};
