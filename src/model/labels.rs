//! Labels on Swarm services and containers that Verdigris made.

/// `verdigris`: what made it.
pub const MANAGED_BY: &str = "verdigris.managed-by";
/// The service.
pub const SERVICE: &str = "verdigris.service";
/// `blue` or `green`.
pub const COLOUR: &str = "verdigris.colour";
/// The release id.
pub const RELEASE: &str = "verdigris.release";
/// The deployment that made it.
pub const DEPLOYMENT: &str = "verdigris.deployment";
/// The container port that serves traffic, so that instances can be addressed from observation alone.
pub const PORT: &str = "verdigris.port";
/// `host` or `overlay`: how that port is reached.
pub const PUBLISH: &str = "verdigris.publish";
/// On test containers: the gate's name.
pub const GATE: &str = "verdigris.gate";

/// The value of [`MANAGED_BY`].
pub const VERDIGRIS: &str = "verdigris";
