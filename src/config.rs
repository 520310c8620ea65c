//! `verdigris.toml`, read and validated; all problems are reported together, before anything is
//! bound or touched.
//!
//! Paths are taken from the directory of the file unless they begin with `/`. Every section and key
//! may be left out unless it says *needed*. An annotated example is `compose/verdigris.toml`.
//!
//! | section | key | meaning |
//! |---|---|---|
//! | `[daemon]` | `state` | directory of the journal and the embedded registry; [`STATE`] |
//! | | `listen` | list of `unix:PATH` and `tcp:ADDRESS:PORT`; [`LISTEN`]; a TCP one needs a `[[token]]` |
//! | `[swarm]` | `host` | a manager's engine: `unix://PATH`, `tcp://HOST:PORT`, `ssh://USER@HOST`; `DOCKER_HOST`, else [`ENGINE`] |
//! | | `tls` | for `tcp://`: `{ ca = FILE, cert = FILE, key = FILE }`; `cert` and `key` go together |
//! | | `docker_config` | directory of the `config.json` with credentials for registries of images; as `docker` finds it |
//! | `[ci]` | | the engine for pre-deployment gates, keys as `[swarm]`; without it, that of `[swarm]` |
//! | `[registry]` | `kind` | `embedded` (the default) or `consul` |
//! | | `address` | consul: `http://HOST:PORT` or `https://…`; *needed* |
//! | | `token_file` | consul: file with the ACL token |
//! | | `ca`, `cert`, `key` | consul: PEM files for `https://` |
//! | | `prefix` | consul: the key that everything is kept under; [`PREFIX`] |
//! | | `datacenter` | consul: when it is not the agent's own |
//! | `[[proxy]]` | `name` | *needed*, unique |
//! | | `kind` | `nginx` or `haproxy`; *needed* |
//! | | `template` | Tera template; the built-in one |
//! | | `output` | the configuration file that the proxy reads; *needed* |
//! | | `flags` | nginx: directory of the flag files; *needed* |
//! | | `map` | haproxy: file of routes and live colours; *needed* |
//! | | `check` | command that checks a configuration, `{file}` stands for it; the proxy's own checker |
//! | | `reload` | command that makes the proxy read its configuration again; a signal, or the master socket |
//! | | `pid_file` | of the master process; nginx needs it or `reload` |
//! | | `master_socket`, `runtime_socket` | haproxy: one is *needed*; without `reload`, the first |
//! | | `status` | `http://ADDRESS:PORT` of the private listener; *needed* |
//! | | `http`, `https` | `ADDRESS:PORT` of the public listeners; one is *needed* |
//! | | `ca` | PEM file to check the proxy's certificates against; the system's |
//! | | `certificates` | directory of certificates; *needed* with `https` |
//! | | `user` | user of the proxy's workers; the proxy's own default |
//! | `[[notify]]` | `url` | where events are posted; *needed* |
//! | | `events` | list of [`Occasion`]s; all but `opened` |
//! | `[[token]]` | `name` | *needed*, unique; stands in the audit log |
//! | | `hash` | SHA-256 of the token, hexadecimal; *needed* |
//! | | `scopes` | list of `read`, `deploy`, `operate`; *needed* |
//! | | `services` | list of names, `*` for any characters; all services |

mod daemon;
mod engine;
mod leaves;
mod load;
mod notify;
mod proxy;
mod registry;
mod token;

pub use crate::document::{LoadError, Place, Problem, Problems};
pub use daemon::{Daemon, LISTEN, Listen, STATE};
pub use engine::{ENGINE, Engine, Tls};
pub use load::{load, parse};
pub use notify::{Notify, Occasion};
pub use proxy::{Proxy, ProxyKind};
pub use registry::{Consul, PREFIX, Registry};
pub use token::{Scope, Token};

/// The configuration of a daemon or a keeper, every default filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// State and listeners.
    pub daemon: Daemon,
    /// The engine that runs the colours: a manager of the Swarm.
    pub swarm: Engine,
    /// The engine that runs pre-deployment gates.
    pub ci: Engine,
    /// Where instances and colours are recorded.
    pub registry: Registry,
    /// The proxies; names are unique.
    pub proxies: Vec<Proxy>,
    /// Who is told of events.
    pub notify: Vec<Notify>,
    /// Who may use the API over TCP; names are unique.
    pub tokens: Vec<Token>,
}

#[cfg(test)]
mod tests;
