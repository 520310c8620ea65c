//! The testbed itself: `scripts/testbed`, as a person uses it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::daemon::BINARY;
use crate::support::{machine, run};

/// A testbed of one node is up in less.
const QUICK: Duration = Duration::from_secs(20);

const PARTS: [&str; 6] = ["node1", "registry", "private-registry", "consul", "nginx", "haproxy"];

fn testbed(name: &str, arguments: &[&str]) -> (i32, String) {
    machine::script("scripts/testbed", name, arguments)
}

/// How long `up` takes, which must succeed.
fn up(name: &str) -> Duration {
    let begun = Instant::now();
    let (code, words) = testbed(name, &["up"]);
    assert_eq!(code, 0, "{words}");
    begun.elapsed()
}

#[test]
fn comes_up_after_crashes_and_leaves_nothing() {
    if !run::possible() {
        return;
    }
    let name = run::bed("whole");
    let before = machine::host();
    is_down(&name);
    dies_while_it_comes_up(&name);
    let first = up(&name);
    let parts = is_up(&name);
    parts_are_killed(&name, &parts);
    let again = up(&name);
    assert!(first.min(again) < QUICK, "{first:?} {again:?}");
    let parts = is_up(&name);
    let (code, words) = testbed(&name, &["up"]);
    assert!(code == 0 && words.contains("up already"), "{words}");
    assert_eq!(is_up(&name), parts, "what runs is not built anew");
    a_shell_evaluates_what_it_says(&name);
    every_configuration_is_valid(&name);
    assert_eq!(machine::host(), before, "the host was touched");

    assert_eq!(testbed(&name, &["down"]).0, 0);
    assert_eq!(machine::traces(&name), Vec::<String>::new());
    is_down(&name);
    assert_eq!(testbed(&name, &["down"]).0, 0, "it is down already");
    assert_eq!(machine::host(), before, "the host was touched");
}

fn is_down(name: &str) {
    let (code, words) = testbed(name, &["status"]);
    assert!(code == 3 && words.contains("is down"), "{words}");
    for verb in [&["env"][..], &["proxy", "nginx", "start"], &["exec", "hub", "true"]] {
        let (code, words) = testbed(name, verb);
        assert!(code == 1 && words.contains("run `scripts/testbed up`"), "{verb:?}: {words}");
    }
}

/// `kill -9` of `up` itself, once there is something that it could leave behind.
fn dies_while_it_comes_up(name: &str) {
    let mut command = Command::new(run::root().join("scripts/testbed"));
    command.arg("up").env("TESTBED_NAME", name).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while !machine::traces(name).iter().any(|trace| trace.contains("dockerd")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", machine::traces(name));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let traces = machine::traces(name);
    // Processes may end with it, the rest does not.
    for kind in ["directory ", "mount ", "namespace ", "interface "] {
        assert!(traces.iter().any(|trace| trace.starts_with(kind)), "no {kind}: {traces:#?}");
    }
}

/// All of it runs; which process each part is.
fn is_up(name: &str) -> Vec<String> {
    let (code, words) = testbed(name, &["status"]);
    assert_eq!(code, 0, "{words}");
    let line = |part: &&str| {
        let mut lines = words.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|line| line[0] == *part).unwrap_or_else(|| panic!("{part}: {words}"));
        assert_eq!(line[1], "up", "{words}");
        line.last().unwrap().to_string()
    };
    PARTS.iter().map(line).collect()
}

fn parts_are_killed(name: &str, pids: &[String]) {
    let killed = Command::new("kill").arg("-KILL").args(pids).status().unwrap();
    assert!(killed.success());
    let (code, words) = testbed(name, &["status"]);
    assert_eq!(code, 3, "{words}");
    for part in PARTS {
        assert!(
            words.lines().any(|line| line.starts_with(part) && line.contains(" down ")),
            "{words}"
        );
    }
    assert_eq!(testbed(name, &["consul", "status"]).0, 3);
}

/// What is said is there: engine, Consul, images, and proxies that show a certificate of that authority.
const LOOK: &str = r#"
set -eu
eval "$(scripts/testbed env)"
curl -sSf --unix-socket "${DOCKER_HOST#unix://}" http://engine/_ping
curl -sSf "$CONSUL_HTTP_ADDR/v1/status/leader"
curl -sSf "http://$TESTBED_IMAGES/v2/"
curl -sSf -u "$TESTBED_PRIVATE_USER:$TESTBED_PRIVATE_PASSWORD" "http://$TESTBED_PRIVATE_IMAGES/v2/"
for proxy in "$TESTBED_NGINX" "$TESTBED_HAPROXY"; do
  for port in 80 443; do
    if [ $port = 80 ]; then scheme=http; else scheme=https; fi
    curl -sS -o /dev/null -w ' %{http_code}' --cacert "$TESTBED_CA" \
      --resolve "books.example.com:$port:$proxy" "$scheme://books.example.com/"
  done
done
"#;

fn a_shell_evaluates_what_it_says(name: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", LOOK]).current_dir(run::root()).env("TESTBED_NAME", name);
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("OK") && said.ends_with(" 503 503 503 503"), "{said}");
}

fn every_configuration_is_valid(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("verdigris.toml");
    for registry in ["embedded", "consul", "secure-consul"] {
        for (proxy, count) in [("nginx", 1), ("haproxy", 1), ("both", 2)] {
            let asked = ["config", "--registry", registry, "--proxy", proxy];
            let more = ["--listen", "tcp:127.0.0.1:7070", "--docker-config", "/nonexistent"];
            for arguments in [&asked[..], &[&asked[..], &more[..]].concat()] {
                let (code, text) = testbed(name, arguments);
                assert_eq!(code, 0, "{text}");
                assert_eq!(text.matches("[[proxy]]").count(), count, "{text}");
                std::fs::write(&file, &text).unwrap();
                let checked = Command::new(BINARY).arg("check").arg(&file).output().unwrap();
                assert!(checked.status.success(), "{arguments:?}: {checked:?}\n{text}");
            }
        }
    }
    for wrong in [&["--registry", "zookeeper", "--proxy", "both"][..], &["--registry", "consul"]] {
        let (code, words) = testbed(name, &[&["config"], wrong].concat());
        assert!(code == 2 && words.contains("config needs"), "{wrong:?}: {words}");
    }
}
