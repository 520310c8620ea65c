//! Progress as server-sent events: order, resume, ends, and deployments that are held.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use verdigris::client::Followed;
use verdigris::model::{DeploymentId, Happening, Outcome, Step};

use crate::support::daemon::{ALL, BOOKS, Daemon};
use crate::support::fake::Call;
use crate::support::samples;
use crate::{BASE, json};

/// Longer than any test waits for what should come.
const LONG: Duration = Duration::from_secs(20);

async fn open(daemon: &Daemon, path: &str, last: Option<&str>) -> reqwest::Response {
    let mut request = daemon.http().get(format!("{BASE}{path}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await.unwrap()
}

/// The sequence numbers in a stream that ends.
async fn numbers(response: reqwest::Response) -> Vec<u64> {
    let text = tokio::time::timeout(LONG, response.text()).await.expect("no end").unwrap();
    text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
}

fn note(text: &str) -> Happening {
    Happening::Note { text: text.to_owned() }
}

fn committed() -> Happening {
    Happening::Ended { outcome: Outcome::Committed }
}

/// A deployment with events 0 to 4, which has ended.
fn ended(daemon: &Daemon) -> DeploymentId {
    let id = daemon.fake.open(samples::view("books-ms"));
    for text in ["one", "two", "three"] {
        daemon.fake.tell(id, Some(Step::Await), note(text));
    }
    daemon.fake.tell(id, None, committed());
    id
}

#[tokio::test]
async fn all_that_happened_comes_first_then_what_happens_until_the_end() {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let response = open(&daemon, &format!("/v1/deployments/{id}/events"), None).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert!(response.headers().get("content-encoding").is_none());
    daemon.fake.tell(id, Some(Step::Await), note("1 of 2 replicas running"));
    daemon.fake.tell(id, None, committed());
    let text = tokio::time::timeout(LONG, response.text()).await.unwrap().unwrap();
    let data: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(data.len(), 3);
    assert_eq!(data[0]["what"]["what"], "opened");
    assert_eq!(data[1]["step"], "await");
    assert_eq!(data[1]["what"]["text"], "1 of 2 replicas running");
    assert_eq!(data[2]["what"]["outcome"]["end"], "committed");
}

#[tokio::test]
async fn a_stream_is_taken_up_after_the_event_that_was_seen_last() {
    let daemon = Daemon::start().await;
    let id = ended(&daemon);
    let path = format!("/v1/deployments/{id}/events");
    assert_eq!(numbers(open(&daemon, &path, None).await).await, [0, 1, 2, 3, 4]);
    assert_eq!(numbers(open(&daemon, &path, Some("2")).await).await, [3, 4]);
    let query = format!("{path}?after=1");
    assert_eq!(numbers(open(&daemon, &query, None).await).await, [2, 3, 4]);
    assert_eq!(numbers(open(&daemon, &query, Some("3")).await).await, [4], "the header goes first");
    let wrong = open(&daemon, &path, Some("seven")).await;
    assert_eq!(wrong.status(), 400);
    assert!(json(wrong).await["message"].as_str().unwrap().contains("seven"));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_that_it_is_still_there() {
    let daemon = Daemon::start().await;
    let mut stream = open(&daemon, "/v1/events", None).await.bytes_stream();
    // The clock is the test's and jumps to where something happens.
    for _ in 0..2 {
        let bytes = stream.next().await.unwrap().unwrap();
        assert_eq!(&bytes[..], b": still here\n\n");
    }
}

#[tokio::test]
async fn what_happened_so_far_can_be_had_without_waiting() {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    daemon.fake.tell(id, Some(Step::Start), Happening::Began);
    let log = json(open(&daemon, &format!("/v1/deployments/{id}/log"), None).await).await;
    assert_eq!(log.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_unknown_deployment_has_no_stream() {
    let daemon = Daemon::start().await;
    let path = format!("/v1/deployments/{}/events", DeploymentId::new());
    assert_eq!(open(&daemon, &path, None).await.status(), 404);
}

#[tokio::test]
async fn everything_can_be_watched_as_far_as_the_token_goes() {
    let daemon = Daemon::start().await;
    let watch = crate::http_over_tcp().get(daemon.url("/v1/events")).bearer_auth(BOOKS);
    let mut watched = watch.send().await.unwrap().bytes_stream();
    let films = daemon.fake.open(samples::view("films-ms"));
    let books = daemon.fake.open(samples::view("books-ms"));
    daemon.fake.tell(films, None, committed());
    daemon.fake.tell(books, None, committed());
    let mut text = String::new();
    while !text.contains("committed") {
        let bytes = tokio::time::timeout(LONG, watched.next()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    let hyphenated = |id| serde_json::to_value(id).unwrap().as_str().unwrap().to_owned();
    assert_eq!(text.matches(&hyphenated(books)).count(), 2, "{text}");
    assert_eq!(text.matches(&hyphenated(films)).count(), 0, "{text}");
}

#[tokio::test]
async fn the_client_takes_a_broken_stream_up_without_losing_or_repeating_an_event() {
    let daemon = Daemon::start().await;
    let fake = daemon.fake.clone();
    let id = fake.open(samples::view("books-ms"));
    let client = daemon.client();
    let mut events = client.follow(id, false);
    let mut seen = Vec::new();
    let mut told = Vec::new();
    let mut daemon = Some(daemon);
    loop {
        let next = tokio::time::timeout(LONG, events.next()).await.expect("nothing came");
        match next {
            Some(Ok(Followed::Event(event))) => {
                seen.push(event.seq);
                match event.seq {
                    0 => fake.tell(id, Some(Step::Start), note("before")),
                    1 => {
                        // The daemon is replaced while things go on.
                        let (directory, fake) = daemon.take().unwrap().stop().await;
                        fake.tell(id, Some(Step::Start), note("meanwhile"));
                        daemon = Some(Daemon::start_in(directory, fake).await);
                    }
                    2 => fake.tell(id, None, committed()),
                    _ => {}
                }
            }
            Some(Ok(other)) => told.push(other),
            Some(Err(error)) => panic!("{error}"),
            None => break,
        }
    }
    assert_eq!(seen, [0, 1, 2, 3]);
    assert_eq!(told, [Followed::Reconnecting, Followed::Reconnected]);
}

#[tokio::test]
async fn a_deployment_is_aborted_when_the_client_that_holds_it_is_gone() {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let held = open(&daemon, &format!("/v1/deployments/{id}/events?hold=true"), None).await;
    drop(held);
    let call = daemon.fake.awaits(|call| matches!(call, Call::Abort { .. })).await;
    assert!(
        matches!(call, Call::Abort { id: aborted, why, .. } if aborted == id && why.contains("gone"))
    );
}

#[tokio::test]
async fn a_client_that_never_came_to_hold_what_it_submitted_is_gone_too() {
    let daemon = Daemon::start().await;
    let mut body = samples::rollback_json();
    body["on_disconnect"] = "revert".into();
    let submit = daemon.http().post(format!("{BASE}/v1/deployments")).json(&body);
    submit.send().await.unwrap();
    daemon.fake.awaits(|call| matches!(call, Call::Abort { .. })).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_aborts_what_was_taken_up_again_or_has_ended_or_is_only_looked_at() {
    let daemon = Daemon::start().await;
    let [again, over, looked, stopped] =
        ["a", "b", "c", "d"].map(|service| daemon.fake.open(samples::view(service)));
    let hold = |id| format!("/v1/deployments/{id}/events?hold=true");
    drop(open(&daemon, &hold(again), None).await);
    let _held = open(&daemon, &hold(again), Some("0")).await;
    let response = open(&daemon, &hold(over), None).await;
    daemon.fake.tell(over, None, committed());
    numbers(response).await;
    drop(open(&daemon, &format!("/v1/deployments/{looked}/events"), None).await);
    let _stopped = open(&daemon, &hold(stopped), None).await;
    let (_directory, fake) = daemon.stop().await;
    // The clock is the test's: this is longer than any grace and takes no time.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.calls(), []);
}

fn aborted(daemon: &Daemon) -> bool {
    daemon.fake.calls().iter().any(|call| matches!(call, Call::Abort { .. }))
}

#[tokio::test(start_paused = true)]
async fn every_break_has_a_grace_of_its_own() {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let hold = format!("/v1/deployments/{id}/events?hold=true");
    drop(open(&daemon, &hold, None).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(open(&daemon, &hold, None).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!aborted(&daemon), "by the first break, though the client came back after it");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(aborted(&daemon));
}

#[tokio::test(start_paused = true)]
async fn what_is_submitted_here_may_be_held_there() {
    let daemon = Daemon::start().await;
    let mut body = samples::rollback_json();
    body["on_disconnect"] = "revert".into();
    let submit = daemon.http().post(format!("{BASE}/v1/deployments")).json(&body);
    let submitted: serde_json::Value =
        serde_json::from_str(&submit.send().await.unwrap().text().await.unwrap()).unwrap();
    let id = submitted["deployment"].as_str().unwrap();
    let url = daemon.url(&format!("/v1/deployments/{id}/events?hold=true"));
    let _held = daemon.http_over_tcp().get(url).bearer_auth(ALL).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!aborted(&daemon));
}

#[tokio::test(start_paused = true)]
async fn after_a_start_a_client_has_the_time_to_come_back_and_no_more() {
    let daemon = Daemon::start().await;
    let [back, gone] = ["a", "b"].map(|service| daemon.fake.open(samples::view(service)));
    daemon.holds.expect_again(back);
    daemon.holds.expect_again(gone);
    // Longer than a client takes to find out that the connection is dead, and to try again.
    tokio::time::sleep(Duration::from_secs(38)).await;
    assert!(!aborted(&daemon));
    let _held = open(&daemon, &format!("/v1/deployments/{back}/events?hold=true"), None).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let of = |call: Call| match call {
        Call::Abort { id, .. } => Some(id),
        _ => None,
    };
    let aborted: Vec<_> = daemon.fake.calls().into_iter().filter_map(of).collect();
    assert_eq!(aborted, [gone]);
}

#[tokio::test]
async fn open_streams_do_not_keep_the_daemon_from_stopping() {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let stream = open(&daemon, &format!("/v1/deployments/{id}/events"), None).await;
    let watch = open(&daemon, "/v1/events", None).await;
    let stopped = tokio::time::timeout(Duration::from_secs(4), daemon.stop()).await;
    assert!(stopped.is_ok(), "it waited for them");
    stream.text().await.unwrap();
    watch.text().await.unwrap();
}
