use std::time::Duration;

use tokio::net::TcpListener;
use verdigris::config::Occasion;
use verdigris::model::DeploymentId;

use crate::logs;
use crate::occasions::{commit, open, stick};
use crate::receiver::{Manner, Receiver, SECRET};
use crate::{QUICK, Told, hook};

const END: &[Occasion] = &[Occasion::Committed];

/// Wait until a line with all of `words` is logged.
async fn logged(words: &[&str]) -> String {
    let look = async {
        loop {
            let told = logs::so_far();
            let found = told.lines().find(|line| words.iter().all(|word| line.contains(word)));
            if let Some(line) = found {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), look).await;
    found.unwrap_or_else(|_| panic!("nothing with {words:?} is logged"))
}

#[tokio::test]
async fn a_hook_that_fails_for_a_while_is_told_when_it_is_back() {
    let failures = [Manner::Status(503), Manner::Hang, Manner::Status(429)];
    let receiver = Receiver::that(failures, Manner::Status(204)).await;
    let told = Told::to(&[(&receiver, END)]);
    let id = open(&told.fake);
    commit(&told.fake, id);
    let posts = receiver.gets(4).await;
    assert_eq!(posts.iter().map(|post| post.manner).collect::<Vec<_>>(), [503, 0, 429, 204]);
    assert!(posts[1].at - posts[0].at >= QUICK.pause / 2, "it is given no time to recover");
    assert!(posts.iter().all(|post| post.body == posts[0].body));
    told.end().await;
    assert_eq!(receiver.posts().len(), 4, "told again although it had taken it");
}

#[tokio::test]
async fn a_hook_that_keeps_failing_is_given_up_and_told_of_the_next() {
    let failures = vec![Manner::Status(500); QUICK.retries + 1];
    let receiver = Receiver::that(failures, Manner::Status(200)).await;
    let told = Told::to(&[(&receiver, END)]);
    let (first, second) = (open(&told.fake), open(&told.fake));
    commit(&told.fake, first);
    commit(&told.fake, second);
    let posts = receiver.gets(QUICK.retries + 2).await;
    assert_eq!(posts.last().unwrap().body["deployment"]["id"], second.to_string());
    let line = logged(&[&first.to_string(), "a webhook was not told", "500"]).await;
    assert!(line.contains("WARN") && line.contains("occasion=\"committed\""), "{line}");
    told.end().await;
    logs::keep_the_secret();
}

#[tokio::test]
async fn what_can_never_be_taken_is_not_tried_again() {
    for (manner, word) in [
        (Manner::Status(404), "404 Not Found"),
        (Manner::Status(400), "400 Bad Request"),
        (Manner::Redirect, "a redirection: `url` must name where it leads to"),
    ] {
        let receiver = Receiver::that([], manner).await;
        let told = Told::to(&[(&receiver, END)]);
        let id = open(&told.fake);
        commit(&told.fake, id);
        logged(&[&id.to_string(), word]).await;
        told.end().await;
        assert_eq!(receiver.posts().len(), 1, "{manner:?}");
    }
    logs::keep_the_secret();
}

#[tokio::test]
async fn a_hook_that_hangs_holds_up_nobody_else() {
    let hanging = Receiver::that([], Manner::Hang).await;
    let good = Receiver::start().await;
    let told = Told::to(&[(&hanging, END), (&good, END)]);
    let ids: Vec<_> = (0..40).map(|_| open(&told.fake)).collect();
    ids.iter().for_each(|id| commit(&told.fake, *id));
    let posts = good.gets(ids.len()).await;
    // Of one deployment after another it has heard at most what one try of the first one takes.
    assert!(hanging.posts().len() <= 2 + QUICK.retries, "{}", hanging.posts().len());
    let order: Vec<_> = posts.iter().map(|post| post.body["deployment"]["id"].clone()).collect();
    assert_eq!(
        order,
        ids.iter().map(|id| id.to_string().into()).collect::<Vec<serde_json::Value>>()
    );
    // And it does not keep the daemon from leaving.
    told.end().await;
}

#[tokio::test]
async fn a_queue_that_is_full_costs_notices_and_nothing_else() {
    let hanging = Receiver::that([], Manner::Hang).await;
    let good = Receiver::start().await;
    let told = Told::to(&[(&hanging, END), (&good, END)]);
    for _ in 0..300 {
        let id = open(&told.fake);
        commit(&told.fake, id);
        tokio::task::yield_now().await;
    }
    good.gets(300).await;
    logged(&["256 notices wait for it already"]).await;
    told.end().await;
    logs::keep_the_secret();
}

#[tokio::test]
async fn a_burst_of_openings_costs_no_end_and_no_alert() {
    let slow = Receiver::that([Manner::Hang; 3], Manner::Status(200)).await;
    let told = Told::to(&[(&slow, &Occasion::ALL)]);
    let committed = open(&told.fake);
    let stuck = open(&told.fake);
    commit(&told.fake, committed);
    stick(&told.fake, stuck, "the engine is gone");
    for _ in 0..600 {
        open(&told.fake);
        tokio::task::yield_now().await;
    }
    logged(&["occasion=\"opened\"", "none matters less"]).await;
    assert!(told.untold.count() >= 200, "{}", told.untold.count());
    let heard = async {
        let has = |id: DeploymentId, occasion: &str| {
            slow.posts().iter().any(|post| {
                post.body["occasion"] == occasion && post.body["deployment"]["id"] == id.to_string()
            })
        };
        while !(has(committed, "committed") && has(stuck, "stuck")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("they were not told");
    told.end().await;
}

#[tokio::test]
async fn nobody_listens_or_the_name_is_unknown_or_it_is_no_http() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = mute.local_addr().unwrap();
    let hooks = [
        format!("http://{gone}/{SECRET}"),
        format!("http://no-such-host.invalid/{SECRET}"),
        format!("https://{silent}/{SECRET}"),
        format!("http://user:{SECRET}@{gone}/"),
    ];
    let good = Receiver::start().await;
    let hooks = hooks.iter().map(|url| hook(url, END)).chain([hook(&good.url(), END)]);
    let told = Told::with(std::sync::Arc::default(), hooks.collect());
    let id = open(&told.fake);
    commit(&told.fake, id);
    assert_eq!(good.occasions(1).await, ["committed"]);
    for number in 1..=4 {
        let words = [&*id.to_string(), "a webhook was not told", &format!("webhook={number} ")];
        logged(&words).await;
    }
    told.end().await;
    logs::keep_the_secret();
}

/// What is queued when the daemon stops is still told.
#[tokio::test]
async fn the_last_words_before_the_end_are_told() {
    let receiver = Receiver::that([Manner::Status(503)], Manner::Status(200)).await;
    let told = Told::to(&[(&receiver, &[Occasion::Stuck])]);
    let id = open(&told.fake);
    stick(&told.fake, id, "the engine is gone");
    told.end().await;
    assert_eq!(receiver.posts().last().map(|post| post.manner), Some(200));
}
