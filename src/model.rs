//! The words of Verdigris as types: pure data, no effects.
//!
//! Everything here can be serialised; what is journalled or sent over the API is built from these
//! types, so a change of a field is a change of a stored format.

mod colour;
mod deployment;
mod failure;
#[cfg(test)]
pub(crate) mod fixture;
mod gate;
mod ids;
mod image;
mod instance;
pub mod labels;
mod policy;
mod progress;
mod release;
mod route;
mod workload;

pub use colour::Colour;
pub use deployment::{DeploymentId, Kind, OnBusy, OnDisconnect, Outcome, Phase, Request, Step};
pub use failure::{ExitCode, Failure, FailureKind};
pub use gate::{Asked, Check, CommandCheck, ContainerCheck, Gate, GatePoint, HttpCheck};
pub use ids::{ParseNameError, ServiceName};
pub use image::{ImageRef, ParseImageError, PinnedImage};
pub use instance::{Health, Instance, Registration, ServiceRecord, Standing, Task, TaskState};
pub use policy::{Approval, Bake, Gates, Policy, Publish, Retain};
pub use progress::{
    DeploymentView, Event, GateReport, Happening, Mended, Plan, PlanStep, ProxyStatus,
    ServiceStatus, Status, StepState, StepView,
};
pub use release::{Draft, Release, ReleaseId};
pub use route::{Backend, Route, RouteRule, ServiceView};
pub use workload::{
    ConfigMount, HealthCheck, Limits, Logging, Mount, MountKind, NetworkAttachment, Placement,
    Resources, RestartPolicy, SecretMount, Ulimit, Workload,
};
