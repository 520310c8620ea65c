//! What the two kinds of proxy have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::deploy::ports::Answers;
use crate::model::{Colour, ServiceName};
use crate::proxy::error::{Error, Result};
use crate::proxy::haproxy::{Haproxy, Tally, Wanted};
use crate::proxy::listener::name_of;
use crate::proxy::map::{LIVE, map_lines};
use crate::proxy::names::backend_name;
use crate::proxy::nginx::{Counter, Nginx};
use crate::proxy::routing::{Entries, Entry};
use crate::proxy::settings::{Kind, Settings};

/// One running proxy of either kind.
#[derive(Debug)]
pub(crate) enum Driver {
    Nginx {
        proxy: Nginx,
        /// Counts answers; none when its socket cannot be made.
        counter: Option<Counter>,
    },
    Haproxy {
        proxy: Haproxy,
        tally: Mutex<Tally>,
    },
}

impl Driver {
    /// The driver for `settings`, and what it has to do without.
    pub async fn start(settings: &Arc<Settings>) -> Result<(Self, Option<String>)> {
        match settings.kind {
            Kind::Haproxy => {
                let proxy = Haproxy::new(settings.clone())?;
                let tally = Mutex::default();
                Ok((Self::Haproxy { proxy, tally }, None))
            }
            Kind::Nginx => {
                let proxy = Nginx::start(settings.clone()).await?;
                let (counter, problem) = match Counter::start(proxy.flags().directory()) {
                    Ok(counter) => (Some(counter), None),
                    Err(error) => {
                        (None, Some(format!("answers are not counted: {}", error.chain())))
                    }
                };
                Ok((Self::Nginx { proxy, counter }, problem))
            }
        }
    }

    /// The socket that takes datagrams about answers.
    pub fn answers_socket(&self) -> Option<&str> {
        match self {
            Self::Nginx { counter, .. } => counter.as_ref()?.path(),
            Self::Haproxy { .. } => None,
        }
    }

    /// Whether its processes and sockets can be seen.
    pub async fn is_seen(&self) -> Result<()> {
        match self {
            Self::Nginx { proxy, .. } => proxy.is_seen(),
            Self::Haproxy { proxy, .. } => proxy.is_seen().await,
        }
    }

    /// Its master process, where that can be seen.
    pub async fn process(&self) -> Option<i32> {
        match self {
            Self::Nginx { proxy, .. } => proxy.master().ok(),
            Self::Haproxy { proxy, .. } => proxy.master().await,
        }
    }

    /// Its processes as far as they are seen on this host: in a container it may count them by other
    /// numbers than ours.
    pub async fn pids(&self) -> BTreeSet<i32> {
        let (pids, kind) = match self {
            Self::Nginx { proxy, .. } => (proxy.pids(), Kind::Nginx),
            Self::Haproxy { proxy, .. } => (proxy.pids().await, Kind::Haproxy),
        };
        let is_ours = |pid: &i32| name_of(*pid).is_some_and(|name| name == kind.as_str());
        pids.into_iter().filter(is_ours).collect()
    }

    /// Whether one of its processes is seen to take requests: not while it starts or ends.
    pub async fn is_serving(&self) -> bool {
        match self {
            Self::Nginx { proxy, .. } => proxy.is_serving(),
            Self::Haproxy { proxy, .. } => proxy.is_serving().await,
        }
    }

    /// Shortest time from one reload to the next.
    pub fn pace(&self) -> Duration {
        match self {
            Self::Nginx { .. } => Duration::from_millis(250),
            Self::Haproxy { .. } => Duration::from_millis(500),
        }
    }

    /// What runs has read `entries`.
    pub fn know(&self, entries: &Entries) {
        if let Self::Nginx { proxy, .. } = self {
            proxy.flags().know(entries);
        }
    }

    /// Take over the live colours that the proxy's files say, where they say any: a keeper that was
    /// killed during a flip may not have noted it.
    pub fn observe(&self, entries: &mut Entries, map: Option<&str>) {
        for (service, entry) in entries.iter_mut() {
            let live = match self {
                Self::Nginx { proxy, .. } => proxy.flags().live(entry),
                Self::Haproxy { .. } => map.and_then(|map| live_in(map, service)),
            };
            if let Some(live) = live.filter(|live| entry.view.live != Some(*live)) {
                Arc::make_mut(entry).make_live(live);
            }
        }
    }

    /// Make the proxy read its files, which are named `generation` and hold `text`.
    pub async fn reload(&self, generation: &str, text: &str) -> Result<()> {
        match self {
            Self::Nginx { proxy, .. } => proxy.reload(generation).await,
            Self::Haproxy { proxy, .. } => proxy.reload(generation, text).await,
        }
    }

    /// Make everything that is set at run time say what `entries` say.
    pub async fn agree(&self, entries: &Entries) -> Result<()> {
        match self {
            Self::Nginx { proxy, .. } => proxy.agree(entries).await,
            Self::Haproxy { proxy, .. } => {
                let wanted = wanted(entries);
                proxy.serve(&wanted).await?;
                proxy.route(&map_lines(entries), &wanted).await
            }
        }
    }

    /// Move the public requests of the service of `entry` to `to`, and nothing else.
    pub async fn flip(&self, entry: &Entry, to: Colour) -> Result<()> {
        let service = &entry.view.service;
        // What is measured begins here.
        tracing::debug!(target: "verdigris::flip", %service, %to, "the public is moved");
        match self {
            Self::Nginx { proxy, .. } => proxy.flip(entry, to).await,
            Self::Haproxy { proxy, .. } => {
                proxy.flip(service, &backend_name(service, to), &entry.addresses(to)).await
            }
        }
    }

    /// Let the last flip survive a power cut.
    pub async fn make_durable(&self) -> Result<()> {
        match self {
            Self::Nginx { proxy, .. } => proxy.flags().sync().await,
            // The map file was written durably before the flip.
            Self::Haproxy { .. } => Ok(()),
        }
    }

    /// Make all public requests follow `after`, in one act per proxy.
    pub async fn route(&self, after: &Entries) -> Result<()> {
        match self {
            Self::Nginx { proxy, .. } => proxy.agree(after).await,
            Self::Haproxy { proxy, .. } => proxy.route(&map_lines(after), &wanted(after)).await,
        }
    }

    /// Whether no request is under way on `colour`.
    pub async fn is_drained(&self, entry: &Entry, colour: Colour) -> Result<bool> {
        match self {
            Self::Nginx { proxy, .. } => proxy.is_drained(entry, colour).await,
            Self::Haproxy { proxy, .. } => {
                let service = &entry.view.service;
                let instances = entry.addresses(colour);
                proxy.is_drained(service, &backend_name(service, colour), &instances).await
            }
        }
    }

    /// The answers of `colour` so far.
    pub async fn answers(&self, service: &ServiceName, colour: Colour) -> Result<Answers> {
        let backend = backend_name(service, colour);
        match self {
            Self::Nginx { counter, .. } => match counter {
                Some(counter) => Ok(counter.of(&backend)),
                None => Err(Error::Missing {
                    what: "a socket that its answers could be counted by".to_owned(),
                }),
            },
            Self::Haproxy { proxy, tally } => {
                let mut tally = tally.lock().await;
                proxy.count(&backend, &mut tally).await?;
                Ok(tally.of(&backend))
            }
        }
    }
}

/// The servers of every backend.
pub(crate) fn wanted(entries: &Entries) -> Wanted {
    let mut wanted = BTreeMap::new();
    for (service, entry) in entries {
        for colour in Colour::BOTH {
            wanted.insert(backend_name(service, colour), entry.addresses(colour));
        }
    }
    wanted
}

/// The live colour of `service` in the text of a map file.
fn live_in(map: &str, service: &ServiceName) -> Option<Colour> {
    let key = format!("{LIVE}{service} ");
    let backend = map.lines().find_map(|line| line.strip_prefix(&key))?;
    Colour::BOTH.into_iter().find(|colour| backend.trim() == backend_name(service, *colour))
}
