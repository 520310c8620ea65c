use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortResult;
use crate::model::{Backend, Colour, RouteRule, ServiceName, ServiceView};

/// What one proxy had of a service, kept so that it can be put back exactly; none: nothing.
pub type ProxyViews = BTreeMap<String, Option<ServiceView>>;

/// What one proxy has as the idle colour of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// The colour.
    pub colour: Colour,
    /// By what it would be served.
    pub rule: RouteRule,
    /// Its instances.
    pub backends: Vec<Backend>,
}

/// What one proxy says of the answers of one colour since it was staged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// All answers.
    pub total: u64,
    /// Those with a 5xx status.
    pub errors: u64,
}

/// All the proxies together; one keeper each behind it.
#[async_trait]
pub trait Proxies: Send + Sync {
    /// What each proxy has of `service` at the moment.
    async fn snapshot(&self, service: &ServiceName) -> PortResult<ProxyViews>;

    /// Put `backends` into `colour` of `view.service` without public effect, and prove it. `view`
    /// carries the rule and the colour that is live now. A rule that differs from the one in force
    /// is taken over here only for a service without a live colour; else by `flip`.
    async fn stage(
        &self,
        view: &ServiceView,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<()>;

    /// The same for a release that served before. Whoever brings one back is in a hurry: a proxy whose
    /// template is not good any more goes by the last good one. Answers which do, and why.
    async fn restage(
        &self,
        view: &ServiceView,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<Vec<String>>;

    /// What would keep a colour of a service with `rule` from being staged, as far as it is known, one line
    /// each with what to do. Only what is `new`, and has not served before, depends on the templates that
    /// were saved last.
    async fn obstacles(&self, rule: &RouteRule, new: bool) -> Vec<String>;

    /// What each proxy has as the idle colour of `service` and lets answer there right now: staging just
    /// that would change nothing. None for one that has nothing, or where nothing answers at once.
    async fn idle(&self, service: &ServiceName) -> Vec<Option<Idle>>;

    /// Move the public traffic of `service` to `to` in one atomic act per proxy, write the same to
    /// the files, and prove it live: fresh requests are answered by staged instances of `to`.
    async fn flip(&self, service: &ServiceName, to: Colour, generation: u64) -> PortResult<()>;

    /// Put `service` back to what `before` says in every proxy: flip back first where the live colour
    /// differs (proved), then unstage. Files equal what they were.
    async fn restore(&self, service: &ServiceName, before: &ProxyViews) -> PortResult<()>;

    /// The colour has no instances any more: take them out where that costs nothing (HAProxy), leave
    /// them where it would cost a reload (nginx; stale addresses of an idle colour hurt nobody).
    async fn retire(&self, service: &ServiceName, colour: Colour) -> PortResult<()>;

    /// Replace the instances of `colour` (a task moved or died), live or not.
    async fn refresh(
        &self,
        service: &ServiceName,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<()>;

    /// Wait until no request is in flight on `colour`; the caller bounds it in time.
    async fn drained(&self, service: &ServiceName, colour: Colour) -> PortResult<()>;

    /// Answers of `colour` so far, summed over the proxies; differences are what counts.
    async fn answers(&self, service: &ServiceName, colour: Colour) -> PortResult<Answers>;

    /// Where the public listeners are, for gates: plain and TLS addresses of every proxy.
    fn doors(&self) -> Vec<Door>;
}

/// The public listeners of one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// The proxy's name.
    pub proxy: String,
    /// `ADDR:80`
    pub http: Option<std::net::SocketAddr>,
    /// `ADDR:443`
    pub https: Option<std::net::SocketAddr>,
    /// PEM file of the authority that its certificates are checked against; none: the system's.
    pub ca: Option<std::path::PathBuf>,
    /// Header name and secret value that make the proxy name the instance that answered, in
    /// `X-Verdigris-Upstream: ip:port` and `X-Verdigris-Colour`.
    pub probe: Option<(String, String)>,
}
