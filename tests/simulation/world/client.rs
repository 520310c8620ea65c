//! A client that asks every proxy for every service, at every instant at which anything changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use verdigris::model::{Backend, Colour, ServiceName, ServiceView};

use super::proxies::SimProxy;
use super::swarm::Gone;
use super::{Daemon, Truth};

/// Longest time that requests may meet nobody after something went wrong by itself (a task died, a
/// proxy restarted with old files) while an instance serves: the reconciler looks at everything every
/// ten seconds, hints or not, and one look takes less than two. A keeper looks every five. Counted from
/// the last thing that went wrong, since a look that meets a fault sees nothing.
pub const NOTICE: Duration = Duration::from_secs(12);

/// How a request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Served,
    /// The proxy leads the service nowhere.
    Nowhere,
    /// It leads to an instance that died by itself.
    Dead(String),
    /// It leads to an instance that Verdigris stopped, or that does not serve yet.
    Stopped(String),
}

impl Reply {
    fn badness(&self) -> u8 {
        match self {
            Self::Served => 0,
            Self::Dead(_) => 1,
            Self::Nowhere => 2,
            Self::Stopped(_) => 3,
        }
    }
}

/// One request, and how it ended.
struct Met {
    proxy: String,
    service: ServiceName,
    /// The colour that the proxy leads to.
    leads: Option<Colour>,
    reply: Reply,
}

/// What the client has met so far.
#[derive(Debug, Default)]
pub struct Client {
    /// Since when a proxy does not serve a service.
    failing: BTreeMap<(String, ServiceName), Instant>,
}

impl Truth {
    /// Ask every proxy for every service.
    pub fn request_everything(&mut self, what: &str) {
        let mut all = Vec::new();
        for (name, proxy) in &self.proxies {
            let known = self.committed.keys().filter(|known| !proxy.running().contains_key(known));
            for service in proxy.running().keys().chain(known) {
                let (leads, reply) = self.ask(proxy, service);
                all.push(Met { proxy: name.clone(), service: service.clone(), leads, reply });
            }
        }
        for met in all {
            self.judge(what, &met);
        }
        if self.client.failing.is_empty() {
            let committed = &self.committed;
            self.proxies.values_mut().for_each(|proxy| proxy.is_back(committed));
        }
    }

    /// Where a request is led, and how it ends: the worst of what the processes of `proxy` make of it.
    fn ask(&self, proxy: &SimProxy, service: &ServiceName) -> (Option<Colour>, Reply) {
        let met = proxy.leads().map(|views| {
            let view = views.get(service);
            (view.and_then(|view| view.live), self.request(view))
        });
        met.max_by_key(|(_, reply)| reply.badness()).unwrap_or((None, Reply::Nowhere))
    }

    /// The worst that a request can meet: it may be led to any instance.
    fn request(&self, view: Option<&ServiceView>) -> Reply {
        let Some((view, live)) = view.and_then(|view| Some((view, view.live?))) else {
            return Reply::Nowhere;
        };
        let mut reply = Reply::Nowhere;
        for backend in view.of(live) {
            match self.instance(&backend.task) {
                stopped @ Reply::Stopped(_) => return stopped,
                dead @ Reply::Dead(_) => reply = dead,
                Reply::Served if reply == Reply::Nowhere => reply = Reply::Served,
                Reply::Served | Reply::Nowhere => {}
            }
        }
        reply
    }

    /// Whether one of `backends` would serve a request.
    pub fn any_serves(&self, backends: &[Backend]) -> bool {
        backends.iter().any(|backend| self.instance(&backend.task) == Reply::Served)
    }

    /// How a request to `task` ends.
    pub fn instance(&self, task: &str) -> Reply {
        let mut tasks = self.swarm.values().flat_map(|service| &service.tasks);
        match tasks.find(|known| known.id == task) {
            Some(known) if known.up() => Reply::Served,
            Some(known) if matches!(known.gone, Some(Gone::Died | Gone::Lost)) => {
                Reply::Dead(task.to_owned())
            }
            _ => Reply::Stopped(task.to_owned()),
        }
    }

    fn judge(&mut self, what: &str, met: &Met) {
        let key = (met.proxy.clone(), met.service.clone());
        if met.reply == Reply::Served || (met.reply == Reply::Nowhere && self.unrouted) {
            self.client.failing.remove(&key);
            return;
        }
        // Before the first commit nobody is promised anything, but not to be led astray.
        if met.leads.is_none() && !self.committed.contains_key(&met.service) {
            return;
        }
        let first = !self.client.failing.contains_key(&key);
        let since = *self.client.failing.entry(key.clone()).or_insert_with(Instant::now);
        let Met { proxy, service, reply, .. } = met;
        if !may_take_time(&self.proxies[proxy], reply, first, what) {
            self.violate(format!("after `{what}`: a request for {service} at {proxy}: {reply:?}"));
        } else if !self.is_promised(met) {
            self.client.failing.insert(key, Instant::now());
        } else if since.elapsed().min(self.faults.calm()) > NOTICE {
            let long = since.elapsed();
            self.violate(format!(
                "after `{what}`: requests for {service} at {proxy} fail for {long:?}: {reply:?}"
            ));
        }
    }

    /// Some instance could serve, and nothing keeps Verdigris from seeing to it: what a proxy has that
    /// its keeper takes for the truth is put right at the end of the deployment that is under way.
    fn is_promised(&self, met: &Met) -> bool {
        let waits = self.proxies[&met.proxy].is_misled() && self.is_busy(&met.service);
        !waits && self.could_serve(&met.service, met.leads)
    }

    /// Some instance of the colour that is live, or that the proxy leads to, serves.
    fn could_serve(&self, service: &ServiceName, leads: Option<Colour>) -> bool {
        let committed = self.committed.get(service).map(|commit| commit.colour);
        let mut colours = leads.into_iter().chain(committed);
        colours.any(|colour| !self.serving(&service.swarm_name(colour)).is_empty())
    }

    fn is_busy(&self, service: &ServiceName) -> bool {
        self.open.values().any(|open| open.acts && open.service == *service)
    }
}

/// Whether it takes time until this can be noticed. What Verdigris does itself needs no noticing: that
/// it stops an instance to which a proxy leads, as its keeper knows, is never excused.
fn may_take_time(proxy: &SimProxy, reply: &Reply, first: bool, what: &str) -> bool {
    match reply {
        Reply::Served | Reply::Dead(_) => true,
        Reply::Nowhere => proxy.is_astray(),
        Reply::Stopped(_) => {
            let stops = first && ["start", "restore", "scale"].contains(&what);
            proxy.is_astray() && !(stops && proxy.is_known())
        }
    }
}

impl Daemon {
    /// How it is named in a violation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "our daemon",
            Self::Rival => "the rival",
        }
    }
}
