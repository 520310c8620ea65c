//! What a person sees and clicks.

use serde_json::json;
use verdigris::model::{
    DeploymentId, FailureKind, Happening, Kind, Outcome, Phase, ReleaseId, Step,
};

use crate::driver::Browser;
use crate::support::daemon::{Daemon, OPERATE, READ};
use crate::support::fake::Call;
use crate::support::samples::{self, done, failure};

/// Text that would do harm if it were taken for markup.
const HOSTILE: &str = "<img src=x onerror='window.harmed=1'><script>window.harmed=1</script>";

/// The tabulator key, as `WebDriver` writes it.
const TAB: &str = "\u{e004}";

/// A token with every right is needed where everything is clicked.
const ALL: &str = crate::support::daemon::ALL;

async fn daemon() -> Daemon {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    daemon
}

/// Open the dashboard and enter `token`.
async fn enter(browser: &Browser, daemon: &Daemon, token: &str) {
    browser.open(&daemon.url("/")).await;
    browser.until("return document.querySelector('dialog[open] input')").await;
    browser.keys(&format!("{token}\n")).await;
    browser.sees("books-ms").await;
}

/// Nothing hostile ran, and the policy had nothing to block.
async fn is_clean(browser: &Browser) {
    assert_eq!(browser.run("return window.harmed ?? null").await, json!(null));
    let errors = browser.errors().await;
    // Without a token the first question is refused, which the browser notes.
    let errors: Vec<&String> = errors.iter().filter(|line| !line.contains("401")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// A deployment that has gone as far as the approval, told event by event.
fn begin(daemon: &Daemon) -> DeploymentId {
    let mut view = samples::view("books-ms");
    view.phase = Phase::Deploying;
    let id = daemon.fake.open(view);
    for step in [Step::Prepare, Step::PreDeployment, Step::Start, Step::Await, Step::Register] {
        daemon.fake.tell(id, Some(step), Happening::Began);
        if step == Step::PreDeployment {
            for line in ["running 12 tests", HOSTILE, "12 passed"] {
                let gate = "books-ms-tests".to_owned();
                daemon.fake.tell(id, Some(step), Happening::Output { gate, line: line.to_owned() });
            }
            let verdict = Happening::Gate {
                gate: "books-ms-tests".to_owned(),
                millis: 2140,
                failure: None,
                junit: vec![],
            };
            daemon.fake.tell(id, Some(step), verdict);
        }
        let note = match step {
            Step::Prepare => "release 3f9c2a71b0de to green",
            Step::Await => "2 of 2 replicas healthy",
            _ => "",
        };
        daemon.fake.tell(id, Some(step), done(note));
    }
    let view = daemon.fake.state().deployments[&id].view.clone();
    daemon.fake.state().status.services[0].deployment = Some(view);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_asked_for_again_and_a_right_one_shows_everything() {
    let Some(browser) = Browser::start(false, 1280).await else { return };
    let daemon = daemon().await;
    {
        let mut state = daemon.fake.state();
        state.status.services[1].drift = vec![HOSTILE.to_owned()];
        state.status.proxies[1].problem = Some(HOSTILE.to_owned());
        state.status.proxies[1].in_sync = false;
    }
    browser.open(&daemon.url("/")).await;
    browser.sees("This daemon asks for a token").await;
    browser.keys("wrong\n").await;
    browser.sees("the token is not known").await;
    browser.keys(&format!("{READ}\n")).await;
    browser.sees("films-ms").await;
    let lanes = browser
        .until(
            "const lanes = [...document.querySelectorAll('.lane')].slice(0, 2);
             return lanes.length && lanes.map((it) => it.getAttribute('aria-label'))",
        )
        .await;
    assert_eq!(lanes, json!(["blue, live", "green, idle"]));
    browser.sees("10.0.0.2:32768").await;
    browser.sees("1 of 2 proxies not in sync").await;
    browser.sees(HOSTILE).await;
    browser.picture("services").await;
    is_clean(&browser).await;
    browser.click("Forget token").await;
    browser.sees("This daemon asks for a token").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_shown_at_once() {
    let Some(browser) = Browser::start(true, 1280).await else { return };
    let daemon = daemon().await;
    enter(&browser, &daemon, READ).await;
    browser.until("return document.getElementById('connection').dataset.state === 'live'").await;
    let id = begin(&daemon);
    browser.sees(&id.to_string()[..12]).await;
    browser.picture("services-under-way-dark").await;
    daemon.fake.state().status.services[0].live = Some(verdigris::model::Colour::Green);
    daemon.fake.state().status.services[0].deployment = None;
    daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
    browser.until("return document.querySelector('.lane.live').dataset.colour === 'green'").await;
    is_clean(&browser).await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_followed_step_by_step_and_approved() {
    let Some(browser) = Browser::start(false, 1280).await else { return };
    let daemon = daemon().await;
    let id = begin(&daemon);
    enter(&browser, &daemon, ALL).await;
    browser.run(&format!("location.hash = '#/deployments/{id}'")).await;
    browser.sees("12 passed").await;
    browser.sees(HOSTILE).await;
    let state = |step: Step| {
        format!("return document.querySelector('[data-step=\"{step}\"]')?.dataset.state")
    };
    assert_eq!(browser.until(&state(Step::Await)).await, "done");
    assert_eq!(browser.until(&state(Step::Switch)).await, "pending");
    daemon.fake.tell(id, Some(Step::Approve), Happening::Began);
    browser.until(&format!("{} === 'running'", state(Step::Approve))).await;
    browser.sees("It waits for somebody to approve it.").await;
    browser.picture("deployment-waiting").await;
    browser.click("Approve").await;
    browser.sees("Public traffic of books-ms moves to green.").await;
    browser.picture("deployment-approve").await;
    browser.run("document.querySelector('dialog button[value=go]').click()").await;
    let call = daemon.fake.awaits(|call| matches!(call, Call::Approve { .. })).await;
    assert_eq!(call, Call::Approve { id, by: "dashboard (token all)".to_owned() });
    browser.until("return document.getElementById('outcome').innerText === 'committed'").await;
    is_clean(&browser).await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_aborted_with_a_reason_and_shows_why_it_failed() {
    let Some(browser) = Browser::start(true, 1280).await else { return };
    let daemon = daemon().await;
    let id = begin(&daemon);
    enter(&browser, &daemon, OPERATE).await;
    browser.run(&format!("location.hash = '#/deployments/{id}'")).await;
    browser.click("Abort").await;
    browser.sees("Abort and revert").await;
    browser.keys("wrong image\n").await;
    let call = daemon.fake.awaits(|call| matches!(call, Call::Abort { .. })).await;
    assert!(matches!(call, Call::Abort { why, .. } if why == "wrong image"));
    browser.until("return document.getElementById('outcome').innerText === 'reverted'").await;
    let failed = begin(&daemon);
    let mut cause = failure(Step::Await, FailureKind::Start, "replica 2 exited with code 3");
    cause.details = vec!["task t9 on node-1: non-zero exit (3)".to_owned(), HOSTILE.to_owned()];
    cause.remedy = Some("look at what it says before it exits".to_owned());
    daemon.fake.tell(failed, Some(Step::Await), Happening::Failed { failure: cause.clone() });
    for step in [Step::Register, Step::Start] {
        daemon.fake.tell(failed, Some(step), Happening::Undoing);
        daemon.fake.tell(failed, Some(step), Happening::Undone);
    }
    daemon.fake.tell(
        failed,
        None,
        Happening::Ended { outcome: Outcome::Reverted { failure: cause } },
    );
    browser.run(&format!("location.hash = '#/deployments/{failed}'")).await;
    browser.sees("await: replica 2 exited with code 3").await;
    browser.sees("look at what it says before it exits").await;
    browser
        .until("return document.querySelector('[data-step=start]')?.dataset.state === 'undone'")
        .await;
    browser.picture("deployment-reverted-dark").await;
    is_clean(&browser).await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_offers_the_releases_that_were_live() {
    let Some(browser) = Browser::start(false, 1280).await else { return };
    let daemon = daemon().await;
    for release in ["000000000001", "a1b2c3d4e5f6"] {
        let mut view = samples::view("books-ms");
        view.release = Some(ReleaseId::from(release.to_owned()));
        let id = daemon.fake.open(view);
        daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
    }
    daemon.fake.state().script = samples::success();
    enter(&browser, &daemon, ALL).await;
    browser.click("Roll back").await;
    browser.sees("000000000001").await;
    assert_eq!(
        browser.run("return document.querySelectorAll('dialog input[type=radio]').length").await,
        1,
        "the live release is not offered"
    );
    browser.picture("rollback").await;
    browser.run("document.querySelector('dialog button[value=go]').click()").await;
    let call = daemon.fake.awaits(|call| matches!(call, Call::Submit(_))).await;
    let Call::Submit(request) = call else { panic!() };
    let expected = Kind::Rollback {
        service: "books-ms".parse().unwrap(),
        release: Some("000000000001".to_owned()),
    };
    assert_eq!(request.kind, expected);
    browser.until("return location.hash.startsWith('#/deployments/')").await;
    browser.until("return document.getElementById('outcome')?.innerText === 'committed'").await;
    browser.picture("deployment-committed").await;
    is_clean(&browser).await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rights_nothing_can_be_clicked() {
    let Some(browser) = Browser::start(false, 1280).await else { return };
    let daemon = daemon().await;
    let id = begin(&daemon);
    daemon.fake.tell(id, Some(Step::Approve), Happening::Began);
    enter(&browser, &daemon, READ).await;
    let buttons = "return [...document.querySelectorAll('main button')].map((it) => it.innerText)";
    assert_eq!(browser.run(buttons).await, json!([]));
    browser.run(&format!("location.hash = '#/deployments/{id}'")).await;
    browser.sees("Your token may not approve.").await;
    assert_eq!(browser.run(buttons).await, json!([]));
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_reached_and_used_with_the_keyboard_alone() {
    let Some(browser) = Browser::start(false, 420).await else { return };
    let daemon = daemon().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
    daemon.fake.state().rendered = vec![verdigris::deploy::control::Rendered {
        proxy: "edge-nginx".to_owned(),
        text: Some("events {}".to_owned()),
        current: None,
        differs: false,
        problem: None,
    }];
    daemon.fake.state().findings = vec![verdigris::deploy::control::Finding {
        subject: "swarm".to_owned(),
        severity: verdigris::deploy::control::Severity::Bad,
        message: "the engine is in no Swarm".to_owned(),
        remedy: Some("run `docker swarm init` on it".to_owned()),
    }];
    enter(&browser, &daemon, READ).await;
    browser.picture("services-narrow").await;
    browser.run("document.activeElement.blur()").await;
    let focused = "return document.activeElement.innerText.trim()";
    browser.run("document.querySelector('.skip').focus()").await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        browser.keys(TAB).await;
        seen.push(browser.run(focused).await);
    }
    assert_eq!(json!(seen), json!(["Verdigris", "Services", "History", "Proxies", "Doctor"]));
    browser.keys("\n").await;
    browser.sees("the engine is in no Swarm").await;
    browser.picture("doctor-narrow").await;
    browser.run("location.hash = '#/history'").await;
    browser.sees("committed").await;
    browser.picture("history-narrow").await;
    browser.run("location.hash = '#/proxies'").await;
    browser.sees("edge-haproxy").await;
    browser.run("document.querySelector('details summary').focus()").await;
    browser.keys("\n").await;
    browser.sees("events {}").await;
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_f64().unwrap() <= 0.0, "the page is {wide} px too wide");
    is_clean(&browser).await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_gone_is_said_to_be_and_found_again() {
    let Some(browser) = Browser::start(false, 1280).await else { return };
    let daemon = daemon().await;
    enter(&browser, &daemon, READ).await;
    browser.until("return document.getElementById('connection').dataset.state === 'live'").await;
    let address = daemon.tcp;
    let (directory, fake) = daemon.stop().await;
    browser.sees("daemon unreachable").await;
    let _daemon = Daemon::start_at(directory, fake, address).await;
    browser.until("return document.getElementById('connection').dataset.state === 'live'").await;
    browser.quit().await;
}
