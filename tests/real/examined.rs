//! `verdigris doctor` on real parts, each of which is missing once: what it is, and what to do.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::{said, verdigris};
use crate::support::{Proxy, Registry, World};

/// What `doctor` finds bad: subjects, each with what is wrong and what to do. From the
/// configuration's file no daemon is asked.
fn bad(world: &World, from_file: bool) -> Vec<(String, [String; 2])> {
    let from = if from_file { &["--config", "verdigris.toml"][..] } else { &[] };
    let arguments = [&["doctor", "--output", "json"], from].concat();
    let output = verdigris(world, &arguments).output().unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    let found: Vec<_> =
        findings.as_array().unwrap().iter().filter(|it| it["severity"] == "bad").collect();
    let expected = if found.is_empty() { 0 } else { 41 };
    assert_eq!(output.status.code(), Some(expected), "{}", said(&output));
    let field = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let told = |finding| [field(finding, "message"), field(finding, "remedy")];
    found.into_iter().map(|finding| (field(finding, "subject"), told(finding))).collect()
}

/// The ways of asking: a daemon, and without one.
const BOTH: [bool; 2] = [false, true];

/// How a proxy does only its keeper knows.
const DAEMON: [bool; 1] = [false];

/// Asked in these ways, `doctor` names `subject`, says `words` of it, and what to do.
#[track_caller]
fn named(world: &World, ways: &[bool], subject: &str, words: &str) {
    for &from_file in ways {
        let found = bad(world, from_file);
        let of_it = |(found, [message, remedy]): &(String, [String; 2])| {
            found == subject && message.contains(words) && !remedy.is_empty()
        };
        assert!(
            found.iter().any(of_it),
            "`{subject}` with `{words}`, from the file: {from_file}: {found:#?}"
        );
    }
}

/// Until nothing is bad.
async fn recovers(world: &World) {
    let begun = Instant::now();
    loop {
        let found = [bad(world, false), bad(world, true)].concat();
        if found.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{found:#?}\n{}", world.daemon.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_what_to_do() {
    let Some(mut world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    recovers(&world).await;
    the_kernel(&world);
    let (consul, nginx) = (world.bed.env("CONSUL_HTTP_ADDR"), world.bed.env("TESTBED_NGINX"));
    without(&world, &["consul"], &BOTH, "registry", consul).await;
    without(&world, &["engine", "1"], &BOTH, "engine", "docker.sock").await;
    without(&world, &["proxy", "nginx"], &DAEMON, "proxy edge-nginx", nginx).await;
    a_checker_that_refuses(&mut world).await;
}

/// While `part` of the testbed is stopped it is named; once it is back, all is well.
async fn without(world: &World, part: &[&str], ways: &[bool], subject: &str, words: &str) {
    world.bed.testbed(&[part, &["stop"]].concat());
    named(world, ways, subject, words);
    world.bed.testbed(&[part, &["start"]].concat());
    recovers(world).await;
}

/// Not every kernel can do what other stacks need.
fn the_kernel(world: &World) {
    let loaded = std::path::Path::new("/proc/net/ip_vs").exists();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let listed = ["modules.dep", "modules.builtin"].iter().any(|list| {
        let list = std::path::Path::new("/lib/modules").join(release.trim()).join(list);
        std::fs::read_to_string(list).is_ok_and(|modules| modules.contains("/ip_vs.ko"))
    });
    let told = said(&verdigris(world, &["doctor"]).output().unwrap());
    assert_eq!(told.contains("IPVS"), !loaded && !listed, "{told}");
}

/// The proxy's own checker fails, whatever it is given.
async fn a_checker_that_refuses(world: &mut World) {
    let file = world.home.join("verdigris.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let check =
        config.lines().find(|line| line.starts_with("check = ") && line.contains("nginx")).unwrap();
    let refuses =
        r#"check = ["sh", "-c", "echo nginx: it does not please me >&2; exit 1", "{file}"]"#;
    std::fs::write(&file, config.replace(check, refuses)).unwrap();
    world.restart(&[]).await;
    named(world, &DAEMON, "proxy edge-nginx", "it does not please me");
    std::fs::write(&file, config).unwrap();
    world.restart(&[]).await;
    recovers(world).await;
}
