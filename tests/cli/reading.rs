//! The verbs that look, as text and as JSON, and the ones that act on one deployment.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use verdigris::deploy::control::{Finding, Rendered, Severity};
use verdigris::model::{FailureKind, Happening, Mended, Outcome, Step};

use crate::run::{asking, finish, run};
use crate::support::daemon::{BOOKS, Daemon};
use crate::support::fake::Call;
use crate::support::samples::{self, done, failure};

async fn daemon() -> Daemon {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    daemon
}

#[tokio::test]
async fn status_shows_services_proxies_and_problems() {
    let daemon = daemon().await;
    {
        let mut state = daemon.fake.state();
        state.status.services[1].live = None;
        state.status.services[1].drift = vec!["films-ms-blue has 1 task instead of 2".to_owned()];
        let at = "2026-11-28T12:30:05Z".parse().unwrap();
        let what = "instances of blue: 10.0.0.1:30001 gone".to_owned();
        state.status.services[1].mended = vec![Mended { at, what }];
        state.status.services[0].deployment = Some(samples::view("books-ms"));
        state.status.proxies[0].problem = Some("nginx.conf.tera:7:3: no `foo`".to_owned());
        state.status.proxies[1].in_sync = false;
        state.status.problems = vec!["the disk is full".to_owned()];
    }
    let ran = run(&daemon, &["status"]).await.expect(0);
    let rows: Vec<Vec<&str>> =
        ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["SERVICE", "LIVE", "RELEASE", "INSTANCES", "ROUTE", "DEPLOYMENT"]);
    assert_eq!(rows[1][..3], ["books-ms", "blue", "a1b2c3d4e5f6"]);
    assert_eq!(rows[2][..2], ["films-ms", "none"]);
    for words in [
        "2 live, 1 idle",
        "books-ms.example.com/api/v1/books",
        " deploying",
        "in sync, with a problem",
        "not in sync",
        "problem: the disk is full",
        "problem: proxy edge-nginx: nginx.conf.tera:7:3: no `foo`",
        "problem: service films-ms: films-ms-blue has 1 task instead of 2",
        "mended: service films-ms, at 2026-11-28 12:30:05Z: instances of blue: 10.0.0.1:30001 gone",
    ] {
        assert!(ran.out.contains(words), "{words} in {}", ran.out);
    }
    let ran = run(&daemon, &["status", "films-ms", "--output", "json"]).await.expect(0);
    assert_eq!(ran.json()["services"][0]["service"], "films-ms");
    let ran = run(&daemon, &["status", "none-ms"]).await.expect(2);
    assert_eq!(ran.err, "error: there is no service `none-ms`\n");
}

/// What Tera and the proxies' checkers say has several lines, and may hold anything.
const REPORT: &str =
    "template a.tera:3:5: no `foo`\n --> a.tera:3:5\n  |\n3 |   {{ \u{1b}[1mfoo }}\r\n";

#[tokio::test]
async fn what_has_several_lines_is_shown_in_lines() {
    let daemon = daemon().await;
    {
        let mut state = daemon.fake.state();
        state.status.proxies[0].problem = Some(REPORT.to_owned());
        state.rendered.push(rendered(None, Some(REPORT)));
        state.findings = vec![Finding {
            subject: "proxy edge-nginx".to_owned(),
            severity: Severity::Bad,
            message: REPORT.to_owned(),
            remedy: Some("correct it".to_owned()),
        }];
    }
    let lines = |head: &str, indent: &str, tail: &str| {
        let lines = [head, "template a.tera:3:5: no `foo`\n", indent, " --> a.tera:3:5\n", indent];
        [&lines[..], &["  |\n", indent, "3 |   {{ foo }}\n", tail]].concat().concat()
    };
    let ran = run(&daemon, &["status"]).await.expect(0);
    let expected = lines("problem: proxy edge-nginx: ", "  ", "");
    assert!(ran.out.contains(&expected), "{}", ran.out);
    let ran = run(&daemon, &["render", "edge"]).await.expect(13);
    let expected = lines("error: proxy `edge` would not take this: ", "  ", "help: ");
    assert!(ran.err.starts_with(&expected), "{}", ran.err);
    let ran = run(&daemon, &["doctor"]).await.expect(41);
    let indent = " ".repeat("bad  proxy edge-nginx  ".len());
    let expected = lines("bad  proxy edge-nginx  ", &indent, &format!("{indent}correct it\n"));
    assert!(ran.out.contains(&expected), "{}", ran.out);
}

#[tokio::test]
async fn an_empty_daemon_says_so() {
    let daemon = Daemon::start().await;
    assert_eq!(run(&daemon, &["status"]).await.expect(0).out, "nothing is deployed yet\n");
    assert_eq!(run(&daemon, &["history"]).await.expect(0).out, "nothing was deployed yet\n");
    assert_eq!(
        run(&daemon, &["history", "--output", "json"]).await.expect(0).json(),
        Value::Array(vec![])
    );
}

#[tokio::test]
async fn who_sees_some_services_only_is_not_told_that_there_are_none() {
    let daemon = daemon().await;
    daemon.fake.state().status.services.retain(|status| status.service.as_str() == "films-ms");
    daemon.fake.open(samples::view("films-ms"));
    std::fs::write(daemon.directory.path().join("token"), BOOKS).unwrap();
    let url = daemon.url("");
    let ask = |verb| run_over_tcp(&daemon, &url, verb);
    let ran = ask("status").await;
    assert!(ran.out.starts_with("nothing that this token may see is deployed\n"), "{}", ran.out);
    assert_eq!(ask("history").await.out, "nothing that this token may see was deployed yet\n");
}

async fn run_over_tcp(daemon: &Daemon, url: &str, verb: &str) -> crate::run::Ran {
    run(daemon, &["--daemon", url, "--token-file", "token", verb]).await.expect(0)
}

#[tokio::test]
async fn a_service_that_nobody_knows_is_refused_by_whatever_is_asked_of_it() {
    let daemon = daemon().await;
    for verb in ["status", "history"] {
        for output in ["text", "json"] {
            let ran = run(&daemon, &[verb, "none-ms", "--output", output]).await.expect(2);
            assert_eq!(
                (ran.out.as_str(), ran.err.as_str()),
                ("", "error: there is no service `none-ms`\n")
            );
        }
    }
    // It is live, and its deployments were forgotten.
    let ran = run(&daemon, &["history", "films-ms"]).await.expect(0);
    assert_eq!(ran.out, "no deployment of films-ms is on record\n");
}

#[tokio::test]
async fn colour_is_the_bare_word_under_both_spellings() {
    let daemon = daemon().await;
    for verb in ["colour", "color"] {
        assert_eq!(run(&daemon, &[verb, "books-ms"]).await.expect(0).out, "blue\n");
    }
    let ran = run(&daemon, &["colour", "books-ms", "--output", "json"]).await.expect(0);
    assert_eq!(ran.json()["colour"], "blue");
    daemon.fake.state().status.services[0].live = None;
    let ran = run(&daemon, &["colour", "books-ms"]).await.expect(2);
    assert_eq!(ran.out, "");
    assert!(ran.err.starts_with("error: no colour of `books-ms` is live\nhelp: "), "{}", ran.err);
}

#[tokio::test]
async fn what_is_asked_while_the_registry_is_away_is_answered_from_the_proxies() {
    let daemon = daemon().await;
    {
        let mut state = daemon.fake.state();
        state.status.registry = Some("cannot read Consul".to_owned());
        state.status.problems = vec!["cannot read Consul".to_owned()];
        state.status.services[0].instances.clear();
        state.status.services[1].live = None;
    }
    let ran = run(&daemon, &["colour", "books-ms"]).await.expect(0);
    assert_eq!(ran.out, "blue\n");
    assert_eq!(ran.err, "note: the registry is away: every proxy leads there\n");
    let ran = run(&daemon, &["colour", "films-ms"]).await.expect(41);
    assert_eq!(ran.out, "");
    run(&daemon, &["instances", "books-ms"]).await.expect(41);
    let ran = run(&daemon, &["status"]).await.expect(0);
    for words in
        ["blue", "unknown", "problem: cannot read Consul", "note: while the registry is away"]
    {
        assert!(ran.out.contains(words), "{words} in {}", ran.out);
    }
    assert!(!ran.out.contains("0 live"), "{}", ran.out);
}

#[tokio::test]
async fn a_colour_that_is_kept_without_instances_is_named() {
    let daemon = daemon().await;
    daemon.fake.state().status.services[0].instances.truncate(2);
    let ran = run(&daemon, &["status", "books-ms"]).await.expect(0);
    assert!(ran.out.contains("2 live, green at 0"), "{}", ran.out);
}

#[tokio::test]
async fn instances_are_listed() {
    let daemon = daemon().await;
    let ran = run(&daemon, &["instances", "books-ms"]).await.expect(0);
    let rows: Vec<Vec<&str>> =
        ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["blue", "live", "10.0.0.2:32768", "node-1", "a1b2c3d4e5f6", "t1"]);
    assert_eq!(rows[3], ["green", "idle", "10.0.0.2:32770", "node-1", "3f9c2a71b0de", "t3"]);
    let ran = run(&daemon, &["instances", "books-ms", "--output", "json"]).await.expect(0);
    assert_eq!(ran.json()[0]["instance"]["node"], "node-1");
}

#[tokio::test]
async fn history_lists_the_newest_first() {
    let daemon = daemon().await;
    let first = daemon.fake.open(samples::view("books-ms"));
    daemon.fake.tell(first, None, Happening::Ended { outcome: Outcome::Committed });
    let second = daemon.fake.open(samples::view("films-ms"));
    let ran = run(&daemon, &["history"]).await.expect(0);
    let rows: Vec<&str> = ran.out.lines().collect();
    assert!(rows[1].starts_with(&second.to_string()[..12]) && rows[1].contains("deploying"));
    assert!(rows[2].starts_with(&first.to_string()[..12]) && rows[2].contains("committed"));
    assert_eq!(run(&daemon, &["history", "books-ms"]).await.expect(0).out.lines().count(), 2);
    assert_eq!(run(&daemon, &["history", "--limit", "1"]).await.expect(0).out.lines().count(), 2);
    let json = run(&daemon, &["history", "--output", "json"]).await.expect(0).json();
    assert_eq!(json[1]["service"], "books-ms");
}

#[tokio::test]
async fn show_tells_the_steps_and_why_it_failed() {
    let daemon = daemon().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let mut cause = failure(Step::Await, FailureKind::Start, "exited with code 3");
    cause.details = vec!["panic: \u{1b}[1mno database".to_owned()];
    cause.remedy = Some("give it one".to_owned());
    daemon.fake.tell(id, Some(Step::Start), Happening::Began);
    daemon.fake.tell(id, Some(Step::Start), done(""));
    daemon.fake.tell(id, Some(Step::Await), Happening::Failed { failure: cause.clone() });
    daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Reverted { failure: cause } });
    let ran = run(&daemon, &["show", "books-ms"]).await.expect(0);
    for words in [
        &format!("deployment  {id}"),
        "outcome     reverted",
        "release     3f9c2a71b0de",
        "start  done",
        "await  failed",
        "`await` failed: exited with code 3\n  panic: no database\nhelp: give it one\n",
    ] {
        assert!(ran.out.contains(words), "{words} in {}", ran.out);
    }
    let json = run(&daemon, &["show", "books-ms", "--output", "json"]).await.expect(0).json();
    assert_eq!(json["failure"]["details"][0], "panic: \u{1b}[1mno database");
}

#[tokio::test]
async fn a_deployment_is_named_by_id_by_its_beginning_or_by_its_service() {
    let daemon = daemon().await;
    let old = daemon.fake.open(samples::view("books-ms"));
    daemon.fake.tell(old, None, Happening::Ended { outcome: Outcome::Committed });
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let new = daemon.fake.open(samples::view("books-ms"));
    let shown = async |reference: &str| {
        let ran = run(&daemon, &["show", reference, "--output", "json"]).await;
        let ran = ran.expect(0);
        ran.json()["id"].as_str().unwrap().replace('-', "")
    };
    let (old, new) = (old.to_string(), new.to_string());
    assert_eq!(shown("books-ms").await, new);
    assert_eq!(shown(&old).await, old);
    assert_eq!(shown(&old[..12]).await, old);
    assert_eq!(shown(&old[..12].to_uppercase()).await, old);
    let ran = run(&daemon, &["show", "0"]).await.expect(2);
    assert!(ran.err.contains("`0` could be any of") && ran.err.contains(&old), "{}", ran.err);
    let ran = run(&daemon, &["show", "9999"]).await.expect(2);
    assert!(ran.err.starts_with("error: no deployment starts with `9999`"), "{}", ran.err);
    let ran = run(&daemon, &["show", "films-ms"]).await.expect(2);
    assert!(ran.err.starts_with("error: `films-ms` was never deployed"), "{}", ran.err);
}

#[tokio::test]
async fn acts_take_the_deployment_under_way() {
    for verb in ["abort", "approve", "reject", "retry"] {
        let daemon = daemon().await;
        let ran = run(&daemon, &[verb, "books-ms"]).await.expect(2);
        assert!(
            ran.err.starts_with("error: no deployment of `books-ms` is under way"),
            "{}",
            ran.err
        );
        let id = daemon.fake.open(samples::view("books-ms"));
        let mut arguments = vec![verb, "books-ms", "--by", "jane"];
        if ["abort", "reject"].contains(&verb) {
            arguments.extend(["--why", "wrong image"]);
        }
        let ran = run(&daemon, &arguments).await.expect(0);
        assert!(ran.out.starts_with(&format!("deployment {id} ")), "{}", ran.out);
        let (by, why) = ("jane".to_owned(), "wrong image".to_owned());
        let expected = match verb {
            "abort" => Call::Abort { id, by, why },
            "approve" => Call::Approve { id, by },
            "reject" => Call::Reject { id, by, why },
            _ => Call::Retry { id, by },
        };
        assert_eq!(daemon.fake.calls(), [expected]);
    }
}

#[tokio::test]
async fn a_stuck_deployment_can_be_retried_by_its_service() {
    let daemon = daemon().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let problem = failure(Step::Retire, FailureKind::Unreachable, "no Swarm");
    let outcome = Outcome::Stuck { failure: None, problem };
    daemon.fake.tell(id, None, Happening::Ended { outcome });
    run(&daemon, &["retry", "books-ms"]).await.expect(0);
    assert!(matches!(daemon.fake.calls()[0], Call::Retry { .. }));
}

#[tokio::test]
async fn logs_print_what_happened_and_follow_what_happens() {
    let daemon = daemon().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    daemon.fake.tell(
        id,
        Some(Step::PreDeployment),
        Happening::Output { gate: "unit".to_owned(), line: "1 passed".to_owned() },
    );
    let ran = run(&daemon, &["logs", "books-ms"]).await.expect(0);
    assert!(ran.out.ends_with("pre-deployment   unit | 1 passed\n"), "{}", ran.out);
    let child = asking(&daemon, &["logs", "books-ms", "--follow"]).spawn().unwrap();
    daemon.fake.awaits_listeners(1).await;
    daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
    let ran = finish(child).await.expect(0);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    let ran = run(&daemon, &["logs", &id.to_string(), "--output", "json"]).await.expect(0);
    let last: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["what"]["outcome"]["end"], "committed");
}

/// The next `count` lines that `child` prints.
async fn lines(child: &mut Child, count: usize) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = Vec::new();
    let read = async {
        while found.len() < count {
            found.push(lines.next_line().await.unwrap().expect("it ended"));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("nothing was printed");
    found
}

#[tokio::test]
async fn watch_shows_one_service_or_all() {
    let daemon = daemon().await;
    let mut all = asking(&daemon, &["watch"]).spawn().unwrap();
    let mut films = asking(&daemon, &["watch", "films-ms"]).spawn().unwrap();
    let mut json = asking(&daemon, &["watch", "--output", "json"]).spawn().unwrap();
    daemon.fake.awaits_listeners(3).await;
    for service in ["books-ms", "films-ms"] {
        let id = daemon.fake.open(samples::view(service));
        daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
    }
    let all = lines(&mut all, 4).await;
    assert!(all[1].ends_with(" books-ms -                committed"), "{all:?}");
    assert!(all[3].ends_with(" films-ms -                committed"), "{all:?}");
    let films = lines(&mut films, 2).await;
    assert!(films.iter().all(|line| line.contains(" films-ms ")), "{films:?}");
    let json = lines(&mut json, 4).await;
    let last: Value = serde_json::from_str(&json[3]).unwrap();
    assert_eq!(last["what"]["outcome"]["end"], "committed");
}

fn rendered(text: Option<&str>, problem: Option<&str>) -> Rendered {
    Rendered {
        proxy: "edge".to_owned(),
        text: text.map(str::to_owned),
        current: Some("a\nb\nc\n".to_owned()),
        differs: true,
        problem: problem.map(str::to_owned),
    }
}

#[tokio::test]
async fn render_prints_the_text_or_what_differs() {
    let daemon = daemon().await;
    daemon.fake.state().rendered = vec![rendered(Some("a\nB\nc\n"), None)];
    assert_eq!(run(&daemon, &["render", "edge"]).await.expect(0).out, "a\nB\nc\n");
    let ran = run(&daemon, &["render", "edge", "--diff"]).await.expect(0);
    assert_eq!(ran.out, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    let json = run(&daemon, &["render", "edge", "--output", "json"]).await.expect(0).json();
    assert_eq!(json["differs"], true);
    daemon.fake.state().rendered = vec![rendered(Some("a\nb\nc\n"), None)];
    assert_eq!(run(&daemon, &["render", "edge", "--diff"]).await.expect(0).out, "");
}

#[tokio::test]
async fn a_rendering_that_would_not_go_live_is_13() {
    let daemon = daemon().await;
    daemon.fake.state().rendered = vec![rendered(None, Some("nginx.conf.tera:7:3: no `foo`"))];
    let ran = run(&daemon, &["render", "edge"]).await.expect(13);
    assert_eq!(ran.out, "");
    let start = "error: proxy `edge` would not take this: nginx.conf.tera:7:3: no `foo`\nhelp: ";
    assert!(ran.err.starts_with(start), "{}", ran.err);
    let ran = run(&daemon, &["render", "none"]).await.expect(2);
    assert!(ran.err.starts_with("error: there is no proxy `none`"), "{}", ran.err);
}

#[tokio::test]
async fn the_doctor_fails_when_something_is_bad() {
    let daemon = daemon().await;
    let finding = |severity, remedy: Option<&str>| Finding {
        subject: "swarm".to_owned(),
        severity,
        message: "it is so".to_owned(),
        remedy: remedy.map(str::to_owned),
    };
    daemon.fake.state().findings =
        vec![finding(Severity::Good, None), finding(Severity::Warning, Some("look"))];
    let ran = run(&daemon, &["doctor"]).await.expect(0);
    assert!(ran.out.contains("it is so; look"), "{}", ran.out);
    daemon.fake.state().findings.push(finding(Severity::Bad, Some("run `docker swarm init`")));
    let ran = run(&daemon, &["doctor"]).await.expect(41);
    assert!(ran.out.contains("bad"), "{}", ran.out);
    assert!(ran.err.starts_with("error: 1 of these would make deployments fail\n"), "{}", ran.err);
    let ran = run(&daemon, &["doctor", "--output", "json"]).await.expect(41);
    assert_eq!(ran.json()[2]["severity"], "bad");
}
