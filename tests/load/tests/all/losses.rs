//! Each way of losing a request is noticed, and none is made up.

use std::net::SocketAddr;
use std::time::Duration;

use verdigris_load::{Config, Group, Kind, Load, Reason, Report, Target};

use crate::server::{self, Act, Scripted};

fn config(address: SocketAddr, kinds: &[Kind]) -> Config {
    Config {
        targets: vec![Target {
            name: "scripted".into(),
            address,
            host: "books.example.com".into(),
            path: "/api/v1/books".into(),
            ca: None,
        }],
        groups: kinds.iter().map(|kind| Group { kind: *kind, clients: 2, rate: 200.0 }).collect(),
        timeout: Duration::from_secs(2),
        delay: Duration::from_millis(20),
        length: Duration::from_secs(1),
        ..Config::default()
    }
}

/// Awaits a report that satisfies the condition, at most for ten seconds.
async fn await_report(load: &Load, satisfied: impl Fn(&Report) -> bool) -> Report {
    let waiting = async {
        loop {
            let report = load.report();
            if satisfied(&report) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    in_time.unwrap_or_else(|_| panic!("awaited in vain: {:#?}", load.report()))
}

/// Makes the load until the report satisfies the condition.
async fn until(config: Config, satisfied: impl Fn(&Report) -> bool) -> Report {
    let load = Load::start(config).unwrap();
    await_report(&load, satisfied).await;
    load.finish().await
}

async fn until_sent(config: Config, count: u64) -> Report {
    until(config, |report| report.total.sent >= count).await
}

/// Every request of the kind is lost for the reason.
async fn assert_lost(act: Act, kind: Kind, reason: Reason) {
    let server = Scripted::start(act).await;
    let load = Load::start(config(server.address, &[kind])).unwrap();
    // Before it is stopped: a stream that is being read then is left, not lost.
    let report = await_report(&load, |report| report.total.sent >= 5).await;
    let of_kind = report.kind(kind);
    assert_eq!(of_kind.counts.lost, of_kind.counts.sent, "{report:#?}");
    assert_eq!(of_kind.reasons.keys().collect::<Vec<_>>(), [&reason], "{report:#?}");
    assert_eq!(report.losses.len() as u64, report.total.lost);
}

#[tokio::test]
async fn proper_answers_are_not_lost() {
    let server = Scripted::start(Act::Answer).await;
    let kinds = [Kind::New, Kind::Strict, Kind::Standard, Kind::Slow];
    let report = until_sent(config(server.address, &kinds), 200).await;
    assert_eq!(report.total.lost, 0, "{report:#?}");
    assert_eq!(report.answers_of("blue"), report.total.sent);
    let (new, strict) = (report.kind(Kind::New), report.kind(Kind::Strict));
    assert_eq!(new.connections, new.counts.sent);
    assert_eq!(strict.connections, 2, "one per keep-alive client");
    for seen in &report.seen {
        assert!(seen.first_begun_us <= seen.first_answer_us, "{seen:?}");
        assert!(seen.first_answer_us <= seen.last_answer_us, "{seen:?}");
        assert!(seen.last_answer_us <= report.lasted_us, "{seen:?}");
    }
}

#[tokio::test]
async fn answers_are_kept_if_asked() {
    let server = Scripted::start(Act::Answer).await;
    let mut config = config(server.address, &[Kind::New, Kind::Strict]);
    config.keep = vec![Kind::New];
    let report = until_sent(config, 20).await;
    assert_eq!(report.answers.len() as u64, report.kind(Kind::New).counts.answered());
    for answer in &report.answers {
        assert_eq!((answer.kind, answer.colour.as_str()), (Kind::New, "blue"));
        assert!(answer.begun_us <= answer.answer_us);
    }
}

#[tokio::test]
async fn the_rate_is_a_bound() {
    let server = Scripted::start(Act::Answer).await;
    let mut config = config(server.address, &[Kind::Strict]);
    config.groups[0].rate = 50.0;
    let report = until_sent(config, 30).await;
    let allowed = report.lasted_us * 50 / 1_000_000 + 2;
    assert!(report.total.sent <= allowed, "{} > {allowed}", report.total.sent);
}

#[tokio::test]
async fn refused_connections_are_lost() {
    let address = Scripted::start(Act::Answer).await.stop().await;
    let report = until_sent(config(address, &[Kind::New, Kind::Stream, Kind::Ws]), 6).await;
    assert_eq!(report.total.lost, report.total.sent);
    for kind in [Kind::New, Kind::Stream, Kind::Ws] {
        assert!(report.kind(kind).reasons.contains_key(&Reason::Connect), "{report:#?}");
    }
}

#[tokio::test]
async fn errors_of_the_server_are_lost() {
    assert_lost(Act::Status(503), Kind::New, Reason::Unserved).await;
    assert_lost(Act::Status(500), Kind::Standard, Reason::Status5xx).await;
    assert_lost(Act::Status(421), Kind::Strict, Reason::Status4xx).await;
    assert_lost(Act::Status(502), Kind::Stream, Reason::Unserved).await;
    assert_lost(Act::Status(502), Kind::Ws, Reason::Unserved).await;
}

#[tokio::test]
async fn broken_connections_are_lost() {
    assert_lost(Act::Reset, Kind::New, Reason::Reset).await;
    assert_lost(Act::End, Kind::New, Reason::EofBeforeAnswer).await;
    assert_lost(Act::EndInAnswer, Kind::New, Reason::EofInAnswer).await;
    assert_lost(Act::EndInAnswer, Kind::Standard, Reason::EofInAnswer).await;
    assert_lost(Act::Garbage, Kind::New, Reason::Wrong).await;
}

#[tokio::test]
async fn silence_is_lost() {
    let server = Scripted::start(Act::Silence).await;
    let mut config = config(server.address, &[Kind::New]);
    config.timeout = Duration::from_millis(50);
    let report = until_sent(config, 3).await;
    assert_eq!(report.kind(Kind::New).reasons.get(&Reason::Timeout), Some(&report.total.lost));
    assert_eq!(report.total.lost, report.total.sent);
}

/// The server ends idle connections properly: whoever looks before writing loses nothing.
#[tokio::test]
async fn an_idle_connection_that_ended_is_not_reused() {
    let server = Scripted::start(Act::AnswerThenEnd).await;
    let report = until_sent(config(server.address, &[Kind::Strict, Kind::Standard]), 100).await;
    assert_eq!((report.total.lost, report.total.retried), (0, 0), "{report:#?}");
    let strict = report.kind(Kind::Strict);
    assert_eq!(strict.connections, strict.counts.sent);
}

/// The server ends a connection when the next request is on its way: what a browser hides and a
/// strict client suffers.
#[tokio::test]
async fn only_standard_clients_send_again() {
    let server = Scripted::start(Act::AnswerOnce).await;
    let report = until_sent(config(server.address, &[Kind::Strict, Kind::Standard]), 100).await;
    let (strict, standard) = (report.kind(Kind::Strict), report.kind(Kind::Standard));
    assert_eq!(standard.counts.lost, 0, "{report:#?}");
    assert!(standard.counts.retried > 10, "{report:#?}");
    assert_eq!(strict.counts.retried, 0);
    assert!(strict.counts.lost > 10, "{report:#?}");
    assert_eq!(strict.reasons.keys().collect::<Vec<_>>(), [&Reason::EofBeforeAnswer]);
}

/// A fresh connection that ends without an answer is lost for a standard client too.
#[tokio::test]
async fn a_fresh_connection_is_never_retried() {
    assert_lost(Act::End, Kind::Standard, Reason::EofBeforeAnswer).await;
}

#[tokio::test]
async fn streams_and_web_sockets_that_last_are_not_lost() {
    let address = server::service().await;
    let report = until(config(address, &[Kind::Stream, Kind::Ws]), |report| {
        report.kind(Kind::Stream).counts.sent >= 3 && report.kind(Kind::Ws).counts.sent >= 20
    })
    .await;
    assert_eq!(report.total.lost, 0, "{report:#?}");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_lost() {
    assert_lost(Act::StreamCut, Kind::Stream, Reason::EofInAnswer).await;
    assert_lost(Act::StreamEndsEarly, Kind::Stream, Reason::EofInAnswer).await;
    assert_lost(Act::StreamSkips, Kind::Stream, Reason::Wrong).await;
}

#[tokio::test]
async fn nonsense_is_refused() {
    let address = "127.0.0.1:9".parse().unwrap();
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = config(address, &[Kind::New]);
        change(&mut config);
        Load::start(config).err().unwrap().to_string()
    };
    assert!(refused(&|config| config.targets.clear()).contains("no target"));
    assert!(refused(&|config| config.groups.clear()).contains("no clients"));
    assert!(refused(&|config| config.groups[0].rate = f64::NAN).contains("rate"));
    assert!(refused(&|config| config.length = Duration::ZERO).contains("seconds"));
    assert!(refused(&|config| config.targets[0].ca = Some("x".into())).contains("scripted"));
}
