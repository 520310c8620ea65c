//! Deploy and rollback: what is sent, what is shown while it goes on, and how it ends.

use std::time::Duration;

use verdigris::model::{
    DeploymentId, FailureKind, Happening, Kind, OnBusy, OnDisconnect, Outcome, Phase, Request, Step,
};

use crate::run::{Ran, STACK, asking, finish, run};
use crate::support::daemon::{DEPLOY, Daemon};
use crate::support::fake::{Call, Scene};
use crate::support::samples::{self, done, failure, scene};

async fn daemon() -> Daemon {
    let daemon = Daemon::start().await;
    std::fs::write(daemon.directory.path().join("stack.yml"), STACK).unwrap();
    daemon.fake.state().script = samples::success();
    daemon
}

fn submitted(daemon: &Daemon) -> Request {
    let calls = daemon.fake.calls();
    let [Call::Submit(request), ..] = calls.as_slice() else { panic!("{calls:?}") };
    (**request).clone()
}

#[tokio::test]
async fn the_stack_file_and_the_options_become_a_request() {
    let daemon = daemon().await;
    let arguments = "deploy books-ms -f stack.yml --var TAG=2.0 --sequence 42 --deadline 90s \
                     --on-busy wait --on-disconnect revert --force --by jenkins-7";
    run(&daemon, &arguments.split_whitespace().collect::<Vec<_>>()).await.expect(0);
    let request = submitted(&daemon);
    let Kind::Deploy { draft } = &request.kind else { panic!("{request:?}") };
    assert_eq!(draft.service.as_str(), "books-ms");
    assert_eq!(draft.image.to_string(), "127.0.0.1:5000/books-ms:2.0");
    assert_eq!(draft.workload.replicas, 2);
    assert_eq!((request.sequence, request.force), (Some(42), true));
    assert_eq!(request.deadline, Some(Duration::from_secs(90)));
    assert_eq!((request.on_busy, request.on_disconnect), (OnBusy::Wait, OnDisconnect::Revert));
    assert_eq!(request.by, "jenkins-7");
}

#[tokio::test]
async fn what_is_not_said_is_as_the_manual_says() {
    let daemon = daemon().await;
    run(&daemon, &["deploy", "--image", "registry:5000/other:3"]).await.expect(0);
    let request = submitted(&daemon);
    let Kind::Deploy { draft } = &request.kind else { panic!("{request:?}") };
    assert_eq!(draft.image.to_string(), "registry:5000/other:3");
    assert_eq!((request.on_busy, request.on_disconnect), (OnBusy::Refuse, OnDisconnect::Continue));
    assert_eq!((request.sequence, request.deadline, request.force), (None, None, false));
    assert!(request.by.starts_with("jane@"), "{}", request.by);
}

#[tokio::test]
async fn jenkins_is_known_by_its_build() {
    let daemon = daemon().await;
    let mut command = asking(&daemon, &["deploy"]);
    finish(command.env("BUILD_TAG", "jenkins-books-7").spawn().unwrap()).await.expect(0);
    assert_eq!(submitted(&daemon).by, "jenkins-books-7");
}

#[tokio::test]
async fn wait_and_supersede_are_short_for_what_to_do_when_busy() {
    for (flag, expected) in [("--wait", OnBusy::Wait), ("--supersede", OnBusy::Supersede)] {
        let daemon = daemon().await;
        run(&daemon, &["deploy", flag]).await.expect(0);
        assert_eq!(submitted(&daemon).on_busy, expected);
    }
    let daemon = daemon().await;
    run(&daemon, &["deploy", "--wait", "--supersede"]).await.expect(2);
    run(&daemon, &["deploy", "--wait", "--on-busy", "refuse"]).await.expect(2);
}

#[tokio::test]
async fn a_rollback_names_the_service_and_perhaps_the_release() {
    let daemon = daemon().await;
    run(&daemon, &["rollback", "books-ms", "--to", "3f9c2a71b0de"]).await.expect(0);
    let expected = Kind::Rollback {
        service: "books-ms".parse().unwrap(),
        release: Some("3f9c2a71b0de".into()),
    };
    assert_eq!(submitted(&daemon).kind, expected);
    let calls = daemon.fake.calls().len();
    run(&daemon, &["rollback", "books-ms", "--to", ""]).await.expect(2);
    assert_eq!(daemon.fake.calls().len(), calls, "nothing was asked for");
}

/// `time deployment step message`
#[track_caller]
fn lines(ran: &Ran) -> Vec<(String, String)> {
    let parse = |line: &str| {
        let (time, rest) = line.split_once(' ').unwrap();
        let time: jiff::Timestamp = time.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(time <= jiff::Timestamp::now());
        let (id, rest) = rest.split_once(' ').unwrap();
        assert!(id.len() == 12 && id.chars().all(|c| c.is_ascii_hexdigit()), "{line}");
        let (step, message) = rest.split_at(17);
        (step.trim().to_owned(), message.to_owned())
    };
    ran.out.lines().map(parse).collect()
}

#[tokio::test]
async fn without_a_terminal_every_step_is_a_plain_line() {
    let daemon = daemon().await;
    let ran = run(&daemon, &["deploy"]).await.expect(0);
    let lines = lines(&ran);
    let steps: Vec<&str> = lines.iter().map(|(step, _)| step.as_str()).collect();
    for step in Step::ALL {
        assert!(steps.contains(&step.as_str()), "{step} in {}", ran.out);
    }
    assert_eq!(lines.first().unwrap(), &("-".to_owned(), "accepted".to_owned()));
    assert_eq!(lines.last().unwrap(), &("-".to_owned(), "committed".to_owned()));
    let gate = |step: &str, text: &str| (step.to_owned(), text.to_owned());
    assert!(lines.contains(&gate("pre-deployment", "pre-deployment tests | ok")));
    assert!(lines.contains(&gate("bake", "not needed: not asked for")));
    let passed = "gate `post-integration tests` passed in 1.2s";
    assert!(lines.contains(&gate("post-integration", passed)));
    assert_eq!(ran.err, "");
}

#[tokio::test]
async fn as_json_each_event_is_a_line() {
    let daemon = daemon().await;
    let ran = run(&daemon, &["deploy", "--output", "json"]).await.expect(0);
    let events: Vec<verdigris::model::Event> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(matches!(events.last().unwrap().what, Happening::Ended { .. }));
    assert_eq!(events.len(), samples::success().len() + 1);
}

#[tokio::test]
async fn after_a_failure_comes_the_reason_with_its_details_and_what_was_restored() {
    let daemon = daemon().await;
    let mut cause = failure(Step::Await, FailureKind::Start, "replica 1 exited with code 3");
    cause.details = vec!["task t1 on node-1: task: non-zero exit (3)".to_owned()];
    cause.details.push("  \u{1b}[31mpanic: no database\u{1b}[0m\u{7}".to_owned());
    cause.remedy = Some("look at its log".to_owned());
    daemon.fake.state().script = samples::reverted(&cause);
    let ran = run(&daemon, &["deploy"]).await.expect(10);
    assert_eq!(
        ran.err,
        "error: `await`: replica 1 exited with code 3\n  \
           task t1 on node-1: task: non-zero exit (3)\n    \
             panic: no database\n\
         help: look at its log\n\
         restored: all is as it was before; undone: start; public traffic never moved\n"
    );
}

#[tokio::test]
async fn a_revert_after_the_switch_says_that_traffic_is_back() {
    let daemon = daemon().await;
    let cause = failure(Step::PostIntegration, FailureKind::PostGate, "status 500 on 443");
    let outcome = Outcome::Reverted { failure: cause.clone() };
    daemon.fake.state().script = vec![
        scene(Step::Switch, Happening::Began),
        scene(Step::Switch, done("")),
        scene(Step::PostIntegration, Happening::Began),
        scene(Step::PostIntegration, Happening::Failed { failure: cause }),
        scene(Step::Switch, Happening::Undoing),
        scene(Step::Switch, Happening::Undone),
        scene(None, Happening::Ended { outcome }),
    ];
    let ran = run(&daemon, &["deploy"]).await.expect(12);
    assert!(ran.err.contains("public traffic is back where it was"), "{}", ran.err);
}

#[tokio::test]
async fn output_of_gates_cannot_act_on_the_terminal() {
    let daemon = daemon().await;
    let line = "\u{1b}[2J\u{1b}]0;owned\u{7}50%\r100%\u{202e}".to_owned();
    let mut script = vec![scene(
        Step::PreDeployment,
        Happening::Output { gate: "unit\u{1b}[1m".to_owned(), line },
    )];
    script.extend(samples::success());
    daemon.fake.state().script = script;
    let ran = run(&daemon, &["deploy"]).await.expect(0);
    assert!(ran.out.contains("unit | 50% 100%\n"), "{}", ran.out);
}

#[tokio::test]
async fn a_heartbeat_says_what_is_awaited_and_for_how_long_still() {
    let daemon = daemon().await;
    let wait = |pause| Scene { pause, ..scene(Step::Await, done("")) };
    daemon.fake.state().script = vec![
        scene(Step::Await, Happening::Began),
        scene(Step::Await, Happening::Note { text: "1 of 2 replicas running".to_owned() }),
        wait(Duration::from_secs(17)),
        scene(None, Happening::Ended { outcome: Outcome::Committed }),
    ];
    let ran = run(&daemon, &["deploy"]).await.expect(0);
    let lines = lines(&ran);
    let beat = lines.iter().find(|(_, text)| text.starts_with("still waiting")).unwrap();
    assert_eq!(beat.0, "await");
    let start = "still waiting for every replica to run and to stay healthy \
                 (1 of 2 replicas running), 1";
    assert!(beat.1.starts_with(start), "{}", beat.1);
    assert!(beat.1.contains("s so far, at most 14m "), "{}", beat.1);
}

#[tokio::test]
async fn a_heartbeat_says_whose_end_is_awaited() {
    let daemon = daemon().await;
    let text = "waits for deployment 019aa3b2c4d5, which is under way";
    daemon.fake.state().script = vec![
        scene(None, Happening::Note { text: text.to_owned() }),
        Scene { pause: Duration::from_secs(17), ..scene(Step::Prepare, Happening::Began) },
        scene(None, Happening::Ended { outcome: Outcome::Committed }),
    ];
    let ran = run(&daemon, &["deploy"]).await.expect(0);
    assert!(ran.out.contains(&format!("{text}, at most 14m ")), "{}", ran.out);
}

#[tokio::test]
async fn detached_only_the_id_is_printed() {
    let daemon = daemon().await;
    daemon.fake.state().script.clear();
    let ran = run(&daemon, &["deploy", "--detach"]).await.expect(0);
    let id: DeploymentId = ran.out.trim().parse().unwrap();
    assert!(daemon.fake.state().deployments.contains_key(&id));
    let ran = run(&daemon, &["deploy", "--detach", "--output", "json"]).await.expect(0);
    assert_eq!(ran.json()["attached"], false);
}

#[tokio::test]
async fn an_attached_client_follows_what_is_under_way_and_never_holds_it() {
    let daemon = daemon().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    daemon.fake.state().attach = Some(id);
    let child = asking(&daemon, &["deploy", "--on-disconnect", "revert"]).spawn().unwrap();
    daemon.fake.awaits(|call| matches!(call, Call::Submit(_))).await;
    drop(child);
    // Longer than the grace after which a held deployment would be aborted.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!daemon.fake.calls().iter().any(|call| matches!(call, Call::Abort { .. })));
}

#[tokio::test]
async fn a_killed_client_reverts_when_it_was_told_to_and_else_nothing_happens() {
    let waits = vec![scene(Step::Await, Happening::Began)];
    for (on_disconnect, reverts) in [("revert", true), ("continue", false)] {
        let daemon = daemon().await;
        daemon.fake.state().script.clone_from(&waits);
        let arguments = ["deploy", "--on-disconnect", on_disconnect];
        let mut child = asking(&daemon, &arguments).spawn().unwrap();
        let mut out = tokio::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.unwrap();
        child.kill().await.unwrap();
        if reverts {
            daemon.fake.awaits(|call| matches!(call, Call::Abort { .. })).await;
        } else {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(!daemon.fake.calls().iter().any(|call| matches!(call, Call::Abort { .. })));
        }
    }
}

#[tokio::test]
async fn a_daemon_that_is_replaced_meanwhile_is_found_again() {
    let daemon = daemon().await;
    daemon.fake.state().script = vec![scene(Step::Await, Happening::Began)];
    let child = asking(&daemon, &["deploy"]).spawn().unwrap();
    daemon.fake.awaits_listeners(1).await;
    let (directory, fake) = daemon.stop().await;
    let daemon = Daemon::start_in(directory, fake).await;
    let id = *daemon.fake.state().deployments.keys().next().unwrap();
    daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
    let ran = finish(child).await.expect(0);
    assert!(ran.out.contains("the connection to the daemon broke; trying again"), "{}", ran.out);
    assert!(ran.out.contains("the daemon is there again"), "{}", ran.out);
    assert_eq!(ran.out.matches("accepted").count(), 1, "{}", ran.out);
}

#[tokio::test]
async fn a_closed_pipe_does_not_end_a_deployment_early() {
    let daemon = daemon().await;
    let mut child = asking(&daemon, &["deploy"]).spawn().unwrap();
    drop(child.stdout.take());
    finish(child).await.expect(0);
}

#[tokio::test]
async fn over_tcp_the_token_comes_from_a_file() {
    let daemon = daemon().await;
    let file = daemon.directory.path().join("token");
    std::fs::write(&file, format!("{DEPLOY}\n")).unwrap();
    let url = daemon.url("");
    let ask = |token: &'static str| {
        let arguments = ["--daemon", url.as_str(), "--token-file", token, "deploy"];
        let child = asking(&daemon, &arguments).spawn().unwrap();
        async { finish(child).await }
    };
    ask("token").await.expect(0);
    std::fs::write(&file, "read-token").unwrap();
    let ran = ask("token").await.expect(2);
    assert!(ran.err.contains("token `read` does not have the scope `deploy`"), "{}", ran.err);
    std::fs::write(&file, "wrong").unwrap();
    let ran = ask("token").await.expect(2);
    assert!(ran.err.contains("the token is not known"), "{}", ran.err);
    assert!(!ran.err.contains("wrong\""), "{}", ran.err);
    std::fs::write(&file, "two tokens").unwrap();
    assert!(ask("token").await.expect(2).err.contains("does not hold one token"));
    let ran = ask("no-such-file").await.expect(2);
    assert!(
        ran.err.starts_with("error: cannot read token file `no-such-file`: No such"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn a_plan_shows_what_would_be_done() {
    let daemon = daemon().await;
    daemon.fake.state().plan = Some(serde_json::from_value(serde_json::json!({
        "service": "books-ms", "unchanged": false, "live": "blue", "colour": "green",
        "from": "a1b2c3d4e5f6", "to": "3f9c2a71b0de", "image": "registry:5000/books-ms@sha256:00",
        "steps": [{ "step": "start", "what": "create books-ms-green with 2 replicas" }],
        "problems": ["network `backend` does not exist"]
    })).unwrap());
    let ran = run(&daemon, &["plan"]).await.expect(0);
    for words in [
        "books-ms: release 3f9c2a71b0de on green would replace a1b2c3d4e5f6 on blue",
        "create books-ms-green with 2 replicas",
        "problem: network `backend` does not exist",
    ] {
        assert!(ran.out.contains(words), "{}", ran.out);
    }
    let ran = run(&daemon, &["plan", "--output", "json"]).await.expect(0);
    assert_eq!(ran.json()["colour"], "green");
    assert!(daemon.fake.calls().iter().all(|call| matches!(call, Call::Plan(_))));
    assert!(daemon.fake.state().deployments.values().all(|entry| entry.view.phase == Phase::Ended));
}
