//! Requests of every kind through every proxy, and their accounts.

use std::time::Duration;

use verdigris_load::{Config, Group, Kind, Load, Reason, Report, Target};

use super::stack::host;
use super::world::{Proxy, World};

/// How long a stream of the load lasts: shorter than the time for draining.
const STREAM: Duration = Duration::from_secs(2);

/// A load that goes on until it is ended.
pub struct Traffic {
    load: Load,
    kinds: Vec<Kind>,
    strict_may_lose: bool,
}

impl Traffic {
    /// All kinds of clients, through every proxy of `world`, on 80 and 443, to `service`.
    pub fn start(world: &World, service: &str) -> Self {
        let group = |kind, clients, rate| Group { kind, clients, rate };
        let groups = vec![
            group(Kind::Strict, 4, 20.0),
            group(Kind::Standard, 4, 20.0),
            group(Kind::New, 2, 10.0),
            group(Kind::Slow, 1, 1.0),
            group(Kind::Stream, 1, 1.0),
            group(Kind::Ws, 1, 4.0),
        ];
        Self::of(world, service, groups)
    }

    /// Only requests that can be sent once more when the instance under them dies: no streams, whose
    /// answer has begun.
    pub fn short(world: &World, service: &str) -> Self {
        let group = |kind, clients, rate| Group { kind, clients, rate };
        let groups = vec![
            group(Kind::Strict, 4, 20.0),
            group(Kind::Standard, 4, 20.0),
            group(Kind::New, 2, 10.0),
            group(Kind::Slow, 1, 1.0),
        ];
        Self::of(world, service, groups)
    }

    fn of(world: &World, service: &str, groups: Vec<Group>) -> Self {
        let kinds = groups.iter().map(|group| group.kind).collect();
        let mut targets = Vec::new();
        let ca = std::fs::read_to_string(world.bed.env("TESTBED_CA")).unwrap();
        for proxy in world.proxy.names() {
            for (port, ca) in [(80, None), (443, Some(ca.clone()))] {
                targets.push(Target {
                    name: format!("{proxy}:{port}"),
                    address: (world.bed.address(proxy), port).into(),
                    host: host(service),
                    path: "/api/v1/books".to_owned(),
                    ca,
                });
            }
        }
        let config = Config {
            targets,
            groups,
            delay: Duration::from_secs(1),
            length: STREAM,
            ..Config::default()
        };
        let strict_may_lose = world.proxy != Proxy::Haproxy;
        Self { load: Load::start(config).unwrap(), kinds, strict_may_lose }
    }

    /// Lets it go on for a while.
    pub async fn flow(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Ends it: requests were sent by every kind of client, and none was lost.
    pub async fn end(self, what: &str) -> Report {
        self.finish(what, &[]).await
    }

    /// As [`Self::end`], after a release was public that itself answered with 5xx: these answers are
    /// the release's, every other loss would be ours.
    pub async fn end_after_errors(self, what: &str) -> Report {
        self.finish(what, &[Reason::Status5xx]).await
    }

    async fn finish(self, what: &str, excused: &[Reason]) -> Report {
        let report = self.load.finish().await;
        for kind in self.kinds {
            let of_kind = report.kind(kind);
            assert!(of_kind.counts.sent > 0, "{what}: the {kind} clients sent nothing\n{report}");
        }
        judge(&report, what, self.strict_may_lose, excused);
        report
    }
}

fn judge(report: &Report, what: &str, strict_may_lose: bool, excused: &[Reason]) {
    let counted = |loss: &&verdigris_load::LostRequest| {
        // A reload of nginx may cost a strict client a request: the connection ends under it. That
        // is counted and shown, and is no loss that a browser would see.
        let reloaded = strict_may_lose
            && loss.kind == Kind::Strict
            && loss.target.starts_with("nginx")
            && matches!(loss.loss.reason, Reason::EofBeforeAnswer | Reason::Reset);
        !reloaded && !excused.contains(&loss.loss.reason)
    };
    let lost: Vec<_> = report.losses.iter().filter(counted).collect();
    let strict = report.kind(Kind::Strict).counts.lost;
    eprintln!("{what}: {} sent, {} lost (strict {strict})", report.total.sent, report.total.lost);
    assert!(lost.is_empty(), "{what}: requests were lost: {lost:#?}\n{report}");
    // The strict clients of nginx lose a request to a reload at most now and then.
    assert!(strict <= 4 || !excused.is_empty(), "{what}: too many strict losses\n{report}");
}
