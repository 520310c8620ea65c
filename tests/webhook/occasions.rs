use std::sync::Arc;

use verdigris::config::Occasion;
use verdigris::model::{DeploymentId, Failure, FailureKind, Happening, Outcome, Phase, Step};

use crate::Told;
use crate::receiver::{Post, Receiver, SECRET};
use crate::support::fake::Fake;
use crate::support::samples;

pub fn failure(step: Step, message: &str) -> Failure {
    Failure {
        step,
        kind: FailureKind::Start,
        message: message.to_owned(),
        details: vec![],
        remedy: Some("start the engine".to_owned()),
    }
}

pub fn open(fake: &Fake) -> DeploymentId {
    fake.open(samples::view("books-ms"))
}

pub fn commit(fake: &Fake, id: DeploymentId) {
    fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
}

pub fn stick(fake: &Fake, id: DeploymentId, message: &str) {
    let problem = failure(Step::Start, message);
    fake.tell(id, Some(Step::Start), Happening::Stuck { problem });
}

fn text(post: &Post) -> &str {
    post.body["text"].as_str().unwrap()
}

#[tokio::test]
async fn each_occasion_is_told_in_its_turn_with_what_people_need() {
    let receiver = Receiver::start().await;
    let told = Told::to(&[(&receiver, &Occasion::ALL)]);
    let fake = &told.fake;
    let good = open(fake);
    fake.tell(good, Some(Step::Prepare), Happening::Began);
    fake.tell(good, Some(Step::Approve), Happening::Began);
    // What a slow hook is told is how it was, not how it has become.
    receiver.gets(2).await;
    commit(fake, good);
    let bad = open(fake);
    let failure = failure(Step::Await, "2 of 2 tasks exited with code 3");
    stick(fake, bad, "the engine is gone");
    fake.tell(bad, Some(Step::Await), Happening::Failed { failure: failure.clone() });
    fake.tell(bad, None, Happening::Ended { outcome: Outcome::Reverted { failure } });
    let posts = receiver.gets(6).await;
    let told_of: Vec<_> = posts
        .iter()
        .map(|post| {
            (post.body["occasion"].as_str().unwrap(), post.body["deployment"]["id"].clone())
        })
        .collect();
    let (good, bad) = (good.to_string(), bad.to_string());
    assert_eq!(
        told_of,
        [
            ("opened", good.clone().into()),
            ("waiting", good.clone().into()),
            ("committed", good.clone().into()),
            ("opened", bad.clone().into()),
            ("stuck", bad.clone().into()),
            ("reverted", bad.clone().into()),
        ]
    );
    assert!(posts.iter().all(|post| post.path == format!("/services/{SECRET}")));
    assert!(
        posts.iter().all(
            |post| text(post).starts_with("books-ms ") && text(post).ends_with(", by jane@ci)")
        )
    );
    for (index, words) in [
        (0, "opened: release 3f9c2a71b0de (deployment ".to_owned()),
        (1, format!("release 3f9c2a71b0de: `verdigris approve {good}`")),
        (2, "committed: release 3f9c2a71b0de".to_owned()),
        (
            4,
            format!(
                "stuck in start: the engine is gone; start the engine; then `verdigris retry {bad}`"
            ),
        ),
        (5, "reverted in await: 2 of 2 tasks exited with code 3".to_owned()),
    ] {
        assert!(text(&posts[index]).contains(&words), "{words} in {}", text(&posts[index]));
    }
    told.end().await;
}

#[tokio::test]
async fn a_hook_hears_of_what_it_asked_for_only() {
    let (all, some) = (Receiver::start().await, Receiver::start().await);
    let told = Told::to(&[(&all, &Occasion::ALL), (&some, &[Occasion::Stuck])]);
    let id = open(&told.fake);
    stick(&told.fake, id, "the engine is gone");
    commit(&told.fake, id);
    assert_eq!(all.occasions(3).await, ["opened", "stuck", "committed"]);
    told.end().await;
    assert_eq!(some.occasions(1).await, ["stuck"]);
}

#[tokio::test]
async fn a_stuck_deployment_raises_one_alert_until_something_else_happens_to_it() {
    let receiver = Receiver::start().await;
    let told = Told::to(&[(&receiver, &[Occasion::Stuck, Occasion::Committed])]);
    let id = open(&told.fake);
    for attempt in 1..=5 {
        // Each attempt finds other words for the same.
        told.fake.tell(id, Some(Step::Start), Happening::Undoing);
        stick(&told.fake, id, &format!("the engine is gone ({attempt})"));
    }
    told.fake.tell(id, None, Happening::Retried { by: "jane".to_owned() });
    stick(&told.fake, id, "the engine is gone again");
    commit(&told.fake, id);
    let posts = receiver.gets(3).await;
    let said: Vec<&str> = posts.iter().map(text).collect();
    assert!(said[0].contains("gone (") && said[1].contains("gone again"), "{said:?}");
    told.end().await;
    assert_eq!(receiver.occasions(3).await, ["stuck", "stuck", "committed"]);
}

/// The daemon may have died between the journal and the alert.
#[tokio::test]
async fn what_an_earlier_life_left_stuck_is_told_at_the_start() {
    let fake = Arc::<Fake>::default();
    let (stuck, fine) = (open(&fake), open(&fake));
    stick(&fake, stuck, "the engine is gone");
    assert_eq!(fake.state().deployments[&fine].view.phase, Phase::Deploying);
    let receiver = Receiver::start().await;
    let told = Told::by(fake, &[(&receiver, &Occasion::ALL)]);
    let posts = receiver.gets(1).await;
    assert_eq!(posts[0].body["deployment"]["id"], stuck.to_string());
    stick(&told.fake, stuck, "the engine is still gone");
    commit(&told.fake, fine);
    assert_eq!(receiver.occasions(2).await, ["stuck", "committed"]);
    told.end().await;
}
