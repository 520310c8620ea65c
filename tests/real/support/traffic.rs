//! Requests of every kind through every proxy, and their accounts.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use verdigris_load::{Config, Group, Kind, Load, LostRequest, Reason, Report, Target};

use super::reloads::Reloads;
use super::stack::host;
use super::world::World;

/// How long a stream of the load lasts: shorter than the time for draining.
const STREAM: Duration = Duration::from_secs(2);

/// How far from the sight of a reload its losses may be: it is looked for all the time, by a busy
/// machine.
const AROUND: Duration = Duration::from_secs(2);

/// A load that goes on until it is ended.
pub struct Traffic {
    load: Load,
    kinds: Vec<Kind>,
    reloads: Reloads,
    words: Words,
}

/// What nginx says of requests that it could not serve: told where a test fails.
struct Words(PathBuf);

impl Drop for Words {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.0).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- nginx' log ends with\n{}", last.join("\n"));
        }
    }
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

    /// All kinds of short requests to `service`, through one proxy only: the other may be down.
    pub fn through(world: &World, proxy: &'static str, service: &str) -> Self {
        Self::by(world, &[proxy], service, short_groups())
    }

    /// Only requests that can be sent once more when the instance under them dies: no streams, whose
    /// answer has begun.
    pub fn short(world: &World, service: &str) -> Self {
        Self::of(world, service, short_groups())
    }

    fn of(world: &World, service: &str, groups: Vec<Group>) -> Self {
        Self::by(world, world.proxy.names(), service, groups)
    }

    fn by(world: &World, proxies: &[&'static str], service: &str, groups: Vec<Group>) -> Self {
        let kinds = groups.iter().map(|group| group.kind).collect();
        let mut targets = Vec::new();
        let ca = std::fs::read_to_string(world.bed.env("TESTBED_CA")).unwrap();
        for proxy in proxies {
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
        let reloads = Reloads::watch(&world.bed.directory().join("nginx/nginx.pid"));
        let words = Words(world.bed.directory().join("nginx/error.log"));
        Self { load: Load::start(config).unwrap(), kinds, reloads, words }
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
    /// the release's, every other loss would be ours, and so would be a 502, 503 or 504.
    pub async fn end_after_errors(self, what: &str) -> Report {
        self.finish(what, &[Reason::Status5xx]).await
    }

    /// Ends it, where requests may have been lost: they are the caller's to judge.
    pub async fn count(self) -> Report {
        let report = self.load.finish().await;
        self.reloads.end().await;
        report
    }

    async fn finish(self, what: &str, excused: &[Reason]) -> Report {
        let _words = self.words;
        let report = self.load.finish().await;
        let reloads = self.reloads.end().await;
        for kind in self.kinds {
            let of_kind = report.kind(kind);
            assert!(of_kind.counts.sent > 0, "{what}: the {kind} clients sent nothing\n{report}");
        }
        judge(&report, what, &reloads, excused);
        report
    }
}

fn short_groups() -> Vec<Group> {
    let group = |kind, clients, rate| Group { kind, clients, rate };
    vec![
        group(Kind::Strict, 4, 20.0),
        group(Kind::Standard, 4, 20.0),
        group(Kind::New, 2, 10.0),
        group(Kind::Slow, 1, 1.0),
    ]
}

/// Of the eight connections or more that strict clients keep to nginx, a reload may close some in the very
/// moment in which they are used again: on a busy machine three of one were seen.
const MOST_BY_RELOAD: usize = 4;

fn judge(report: &Report, what: &str, reloads: &[SystemTime], excused: &[Reason]) {
    let strict = report.kind(Kind::Strict).counts.lost;
    eprintln!(
        "{what}: {} sent, {} lost (strict {strict}), {} reloads of nginx",
        report.total.sent,
        report.total.lost,
        reloads.len()
    );
    // Of the lost ones only the first are told one by one, so what is grave is counted.
    let reasons = report.kinds.values().flat_map(|of_kind| &of_kind.reasons);
    let grave =
        reasons.filter(|(reason, _)| !excused.contains(reason)).map(|(_, n)| n).sum::<u64>();
    let told = report.losses.iter().filter(|loss| !excused.contains(&loss.loss.reason));
    let (by_reload, lost): (Vec<_>, Vec<_>) =
        told.partition(|loss| reloads.iter().any(|at| is_by_reload(report, loss, *at)));
    for loss in &by_reload {
        eprintln!("{what}: lost to a reload of nginx: {loss:?}");
    }
    assert!(lost.is_empty(), "{what}: requests were lost: {lost:#?}\n{report}");
    assert_eq!(grave, by_reload.len() as u64, "{what}: more were lost than are told\n{report}");
    let most = reloads.len() * MOST_BY_RELOAD;
    assert!(
        by_reload.len() <= most,
        "{what}: more strict losses than reloads account for\n{report}"
    );
}

/// Whether the reload of nginx that was seen at `at` may have cost a strict client this request: the
/// connection ends under it. That is counted and shown, and is no loss that a browser would see.
fn is_by_reload(report: &Report, loss: &LostRequest, at: SystemTime) -> bool {
    let when = UNIX_EPOCH + Duration::from_micros(report.started_unix_us + loss.lost_us);
    let apart = when.duration_since(at).unwrap_or_else(|earlier| earlier.duration());
    loss.kind == Kind::Strict
        && loss.target.starts_with("nginx")
        && matches!(loss.loss.reason, Reason::EofBeforeAnswer | Reason::Reset)
        && apart < AROUND
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// One second after the beginning a strict client of nginx lost a request for `reason`.
    fn report(reason: &str) -> Report {
        let none: Value = json!({ "p50": 0, "p90": 0, "p99": 0, "p999": 0, "max": 0 });
        let counts = json!({ "sent": 9, "lost": 1, "retried": 0 });
        let kind = json!({
            "sent": 9, "lost": 1, "retried": 0, "connections": 1,
            "reasons": { reason: 1 }, "latency_us": none,
        });
        let lost = json!({
            "begun_us": 900_000, "lost_us": 1_000_000, "target": "nginx:80", "kind": "strict",
            "reason": reason, "detail": "",
        });
        serde_json::from_value(json!({
            "started_unix_us": 0, "lasted_us": 9_000_000, "total": counts,
            "kinds": { "strict": kind }, "targets": {}, "seen": [], "losses": [lost],
            "answers": [],
        }))
        .unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_strict_client_may_lose_a_request_beside_a_reload() {
        judge(&report("eof-before-answer"), "beside", &[at(1)], &[]);
    }

    #[test]
    #[should_panic(expected = "requests were lost")]
    fn it_may_not_where_nothing_reloads() {
        judge(&report("eof-before-answer"), "nothing reloads", &[], &[]);
    }

    #[test]
    #[should_panic(expected = "requests were lost")]
    fn nor_at_another_time() {
        judge(&report("eof-before-answer"), "another time", &[at(7)], &[]);
    }

    #[test]
    #[should_panic(expected = "requests were lost")]
    fn a_broken_release_excuses_no_proxy_without_an_answer() {
        judge(&report("status5xx"), "the release's own", &[], &[Reason::Status5xx]);
        judge(&report("unserved"), "the proxy's", &[], &[Reason::Status5xx]);
    }

    #[test]
    #[should_panic(expected = "more were lost than are told")]
    fn what_is_lost_and_not_told_counts() {
        let report = Report { losses: Vec::new(), ..report("reset") };
        judge(&report, "not told", &[at(1)], &[]);
    }
}
