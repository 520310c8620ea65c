//! Proof that requests are answered by whom they should be.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::model::{Colour, RouteRule, ServiceName};
use crate::proxy::error::{Error, Result};
use crate::proxy::probe::{Answer, Prober, Target};
use crate::proxy::routing::Entry;
use crate::proxy::settings::Settings;

/// A flip shows at once; what takes longer than this is not a matter of time.
pub(crate) const FLIPPED: Duration = Duration::from_secs(2);

/// A new instance was healthy before it was staged; its network may take a moment longer.
pub(crate) const STAGED: Duration = Duration::from_secs(5);

/// Most host names that are tried: they differ in nothing but their name.
const MOST_HOSTS: usize = 4;

/// From one try to the next: doubling from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What is to be proved.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Public listeners and names.
    pub targets: Vec<Target>,
    /// Ask for this colour of this service, live or not.
    pub of: Option<(ServiceName, Colour)>,
    /// Who may answer.
    pub accept: BTreeSet<SocketAddr>,
}

impl Claim {
    /// That requests which ask for `colour`, live or not, are answered by its instances.
    pub fn of_idle(settings: &Settings, entry: &Entry, colour: Colour) -> Self {
        // By the rule in force, and on TLS only where both are answered there.
        let mut rule = entry.view.rule.clone();
        rule.tls &= entry.rule_of(colour).tls;
        Self {
            targets: targets(settings, &rule),
            of: Some((entry.view.service.clone(), colour)),
            accept: entry.addresses(colour),
        }
    }

    /// That requests of the public are answered by instances of the live colour; none without one.
    pub fn of_live(settings: &Settings, entry: &Entry) -> Option<Self> {
        let accept = entry.addresses(entry.view.live?);
        Some(Self { targets: targets(settings, &entry.view.rule), of: None, accept })
    }

    /// The same, asked at the listener `door` only, by one name.
    pub fn at(mut self, door: SocketAddr) -> Self {
        self.targets.retain(|target| target.address == door);
        self.at_one_door()
    }

    /// The same, asked at the first listener only.
    pub fn at_one_door(mut self) -> Self {
        self.targets.truncate(1);
        self
    }
}

/// Each public listener with each of the rule's names.
pub(crate) fn targets(settings: &Settings, rule: &RouteRule) -> Vec<Target> {
    let doors = [
        settings.http_door().map(|address| (address, false)),
        settings.https_door().filter(|_| rule.tls).map(|address| (address, true)),
    ];
    let hosts = rule.hosts.iter().take(MOST_HOSTS);
    hosts
        .flat_map(|host| {
            doors.iter().flatten().map(|(address, tls)| Target {
                address: *address,
                tls: *tls,
                host: host.clone(),
                path: rule.path.clone(),
            })
        })
        .collect()
}

/// Ask until every target is answered by one of those who may, or `limit` is over.
pub(crate) async fn prove(prober: &Prober, claim: &Claim, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    let proved = claim.targets.iter().map(|target| one(prober, claim, target, deadline));
    let wrong: Vec<String> = join_all(proved).await.into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::Unproved { why: wrong.join("; ") })
}

async fn one(
    prober: &Prober,
    claim: &Claim,
    target: &Target,
    deadline: Instant,
) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = prober.ask(target, claim.of.as_ref()).await;
        let why = match asked {
            Ok(answer) if answer.upstream.is_some_and(|a| claim.accept.contains(&a)) => {
                return Ok(());
            }
            Ok(answer) => answered(&answer),
            Err(why) => why,
        };
        if Instant::now() + pause > deadline {
            let scheme = if target.tls { "https" } else { "http" };
            return Err(format!(
                "{scheme}://{}{} at {}: {why}",
                target.host, target.path, target.address
            ));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn answered(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    match (answer.upstream, answer.colour) {
        (Some(upstream), Some(colour)) => format!("status {status} from {upstream} ({colour})"),
        (Some(upstream), None) => format!("status {status} from {upstream}"),
        (None, _) => format!("status {status} from the proxy itself"),
    }
}
