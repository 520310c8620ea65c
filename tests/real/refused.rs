//! The API by itself; and who is refused, and what: tokens, flags, stack files, configurations.

use std::process::Command;

use crate::commands::{said, written};
use crate::doors::{Door, with_two_doors};
use crate::support::daemon::BINARY;
use crate::support::{Proxy, Registry, World, curl};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_by_itself_and_who_may_not_use_it() {
    let Some((world, [unix, tcp])) = with_two_doors().await else { return };
    world.deploy(&world.books("1.0")).await.committed();
    let before = world.settled().await;
    let (socket, plain) = (curl::client(Some(&world.daemon.socket)), curl::client(None));
    for (http, base) in [(&socket, "http://verdigris"), (&plain, tcp.address.as_str())] {
        for path in ["/healthz", "/readyz"] {
            let answer = http.get(format!("{base}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
        let described = curl::json(http, &format!("{base}/v1/openapi.json")).await;
        let paths = described["paths"].as_object().unwrap();
        assert!(paths.len() >= 10 && paths.contains_key("/v1/deployments"), "{paths:?}");
    }
    let metrics =
        socket.get("http://verdigris/metrics").send().await.unwrap().text().await.unwrap();
    let committed =
        |line: &&str| line.starts_with("verdigris_deployments") && line.contains("committed");
    assert!(metrics.lines().any(|line| committed(&line) && line.ends_with(" 1")), "{metrics}");
    let in_sync =
        |line: &&str| line.starts_with("verdigris_proxy_in_sync{") && line.ends_with(" 1");
    assert_eq!(metrics.lines().filter(in_sync).count(), world.proxy.names().len(), "{metrics}");
    let denied = plain.get(format!("{}/metrics", tcp.address)).send().await.unwrap();
    assert_eq!(denied.status(), 401);

    written(&world, &world.books("2.0"));
    let wrong = world.home.join("wrong");
    std::fs::write(&wrong, "fedcba9876543210").unwrap();
    for token in [Some(wrong), None] {
        let nobody = Door { address: tcp.address.clone(), token, home: tcp.home.clone() };
        for verb in
            [&["deploy"][..], &["plan"], &["rollback", "books-ms"], &["status"], &["doctor"]]
        {
            let (code, words) = nobody.run(verb);
            assert_eq!(code, 2, "{verb:?}: {words}");
            assert!(words.contains("token"), "{verb:?}: {words}");
            assert!(
                words.contains("help: ") && words.contains("--token-file"),
                "{verb:?}: {words}"
            );
        }
    }
    for wrong in [
        &["deploy", "--sequence", "first"][..],
        &["deploy", "--var", "TAG"],
        &["deploy", "--file", "absent.yml"],
        &["deploy", "--image", "NOT AN IMAGE"],
        &["deploy", "nobody"],
        &["deploi"],
        &["deploy", "--token-file", "/absent"],
    ] {
        let (code, words) = tcp.run(wrong);
        assert_eq!(code, 2, "{wrong:?}: {words}");
    }
    let (code, words) = unix.run(&["deploi"]);
    assert!(code == 2 && words.contains("deploy"), "{words}");
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}

/// Each wrong thing is told with its place, by `check` and by `serve`, before anything is made. A template
/// that is wrong is told by `check`; it keeps no daemon from its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_begins_nothing() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    let before = world.settled().await;
    let good = std::fs::read_to_string(world.home.join("verdigris.toml")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (state, file) = (directory.path().join("state"), directory.path().join("verdigris.toml"));
    let good = good.replace(world.state().to_str().unwrap(), state.to_str().unwrap());
    let is_told = |text: String, verb: &[&str], words: &[&str]| {
        assert_ne!(text, good, "{words:?}");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("timeout");
        let output = command.args(["60", BINARY]).args(verb).arg(&file).output().unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{verb:?}: {told}");
        assert!(words.iter().all(|words| told.contains(words)), "{verb:?} {words:?}: {told}");
        assert!(!state.exists(), "{words:?}: something was made");
    };
    let wrong = good.replace("\"embedded\"", "\"zookeeper\"").replace("master_socket", "socket");
    for verb in [&["check"][..], &["serve", "--config"]] {
        is_told(
            wrong.clone(),
            verb,
            &["verdigris.toml:", ":8: registry.kind", "`zookeeper`", "socket"],
        );
    }
    let template = directory.path().join("nginx.conf.tera");
    std::fs::write(&template, "{% if nobody.closes.this %}").unwrap();
    let named = format!("kind = \"nginx\"\ntemplate = \"{}\"\n", template.display());
    let wrong = good.replace("kind = \"nginx\"\n", &named);
    is_told(wrong, &["check"], &["nginx.conf.tera:1:"]);
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}
