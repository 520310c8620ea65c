use tokio::sync::mpsc;

use super::kept::OUTPUT;
use super::*;
use crate::deploy::outlets::Queued;
use crate::model::{GateReport, Outcome};

fn feed() -> (Arc<Feed>, mpsc::UnboundedReceiver<Queued>) {
    let (outlets, queue) = Outlets::new();
    (Feed::new(DeploymentId::new(), Vec::new(), outlets), queue)
}

fn note(text: &str) -> Happening {
    Happening::Note { text: text.to_owned() }
}

fn output(line: String) -> Happening {
    Happening::Output { gate: "g".to_owned(), line }
}

fn bytes(events: &[Event]) -> usize {
    events.iter().map(|event| written(&event.what)).sum()
}

fn notes(events: &[Event]) -> Vec<&str> {
    let text = |event: &'_ Event| matches!(event.what, Happening::Note { .. });
    let notes = events.iter().filter(|event| text(event));
    notes
        .filter_map(|event| match &event.what {
            Happening::Note { text } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_follower_gets_what_was_said_and_what_is_said_until_the_close() {
    let (feed, _queue) = feed();
    feed.say(None, note("one"));
    feed.say(None, note("two"));
    let followed = tokio::spawn(feed.follow(Some(0)).map(|event| event.seq).collect::<Vec<_>>());
    feed.say(None, note("three"));
    feed.close();
    assert_eq!(followed.await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn of_endless_output_the_last_lines_stay_and_it_is_said_that_others_went() {
    let (feed, mut queue) = feed();
    feed.say(None, note("the beginning"));
    let line = "x".repeat(1000);
    // The log is quick enough here.
    for count in 0..100_000 {
        feed.say(None, output(format!("{count} {line}")));
        while queue.try_recv().is_ok() {}
    }
    feed.close();
    let events: Vec<Event> = feed.follow(None).collect().await;
    assert!(bytes(&events) <= OUTPUT, "{}", bytes(&events));
    let told = notes(&events);
    assert_eq!(told[0], "the beginning");
    assert_eq!(told.iter().filter(|text| text.contains("older lines of output")).count(), 1);
    assert_eq!(told.iter().filter(|text| **text == CUT).count(), 1, "{told:?}");
    let Happening::Output { line, .. } = &events.last().unwrap().what else { panic!() };
    assert!(line.starts_with("99999 "));
    // Numbers only grow, and the note about the rest stands before what is left.
    assert!(events.is_sorted_by(|one, other| one.seq < other.seq));
}

#[tokio::test]
async fn the_log_gets_the_verdict_whatever_it_does_not_get() {
    let (feed, mut queue) = feed();
    let line = "x".repeat(1 << 20);
    for _ in 0..20 {
        feed.say(None, output(line.clone()));
    }
    let report = GateReport { name: "a.xml".to_owned(), xml: "x".repeat(1 << 20) };
    let verdict = |junit| Happening::Gate { gate: "g".to_owned(), millis: 1, failure: None, junit };
    feed.say(None, verdict(vec![report]));
    let mut logged = Vec::new();
    while let Ok(queued) = queue.try_recv() {
        logged.push(queued.event.clone());
    }
    assert!(bytes(&logged) <= 16 << 20, "{}", bytes(&logged));
    assert_eq!(notes(&logged), [BEHIND]);
    assert_eq!(logged.last().unwrap().what, verdict(Vec::new()));
}

#[tokio::test]
async fn a_burst_of_output_pushes_no_news_aside() {
    let (outlets, _queue) = Outlets::new();
    let mut news = outlets.news();
    let feed = Feed::new(DeploymentId::new(), Vec::new(), outlets);
    feed.say(None, Happening::Opened);
    for _ in 0..5000 {
        feed.say(None, output(String::new()));
    }
    assert_eq!(news.next().await.unwrap().what, Happening::Opened);
}

#[tokio::test]
async fn a_burst_of_steps_pushes_no_end_aside_and_is_counted() {
    let (outlets, _queue) = Outlets::new();
    let mut news = outlets.news();
    let feed = Feed::new(DeploymentId::new(), Vec::new(), outlets.clone());
    let ended = Happening::Ended { outcome: Outcome::Committed };
    let retried = Happening::Retried { by: "jane".to_owned() };
    feed.say(None, ended.clone());
    feed.say(None, retried.clone());
    feed.say(Some(Step::Approve), Happening::Began);
    for _ in 0..2000 {
        feed.say(Some(Step::Start), Happening::Began);
    }
    assert_eq!(outlets.missed().count(), 2003 - 1024);
    for expected in [ended, retried, Happening::Began] {
        assert_eq!(news.next().await.unwrap().what, expected);
    }
}

#[tokio::test]
async fn a_verdict_after_too_much_output_is_in_the_log() {
    let (feed, mut queue) = feed();
    let line = "x".repeat(1 << 20);
    for _ in 0..=LOGGED >> 20 {
        feed.say(None, output(line.clone()));
        while queue.try_recv().is_ok() {}
    }
    let report = GateReport { name: "a.xml".to_owned(), xml: "<testsuites/>".to_owned() };
    let verdict = |junit| Happening::Gate { gate: "g".to_owned(), millis: 1, failure: None, junit };
    feed.say(None, verdict(vec![report]));
    assert_eq!(queue.try_recv().unwrap().event.what, verdict(Vec::new()));
}

#[test]
fn what_a_step_says_before_its_beginning_is_told_comes_after_that() {
    let (feed, mut queue) = feed();
    feed.hold(Step::Await);
    feed.say(Some(Step::Await), note("one"));
    feed.say(Some(Step::Start), Happening::Done { note: String::new() });
    feed.say(Some(Step::Await), note("two"));
    feed.say(Some(Step::Await), Happening::Began);
    feed.say(Some(Step::Await), note("three"));
    let told: Vec<_> = feed.so_far().into_iter().map(|event| (event.seq, event.what)).collect();
    let expected = [
        Happening::Done { note: String::new() },
        Happening::Began,
        note("one"),
        note("two"),
        note("three"),
    ];
    assert_eq!(told, (0..).zip(expected).collect::<Vec<_>>());
    let logged = std::iter::from_fn(|| queue.try_recv().ok()).map(|queued| queued.event.seq);
    assert_eq!(logged.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}
