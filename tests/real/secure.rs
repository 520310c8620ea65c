//! What is locked, and opens to those who have the key: Consul with TLS and tokens, and a registry of
//! images whose password only a credential helper knows.

use std::path::{Path, PathBuf};

use serde_json::json;
use verdigris::model::{Outcome, Step};

use crate::commands::{run, written};
use crate::support::{Proxy, Registry, Stack, Traffic, World, run as this_run};

#[tokio::test(flavor = "multi_thread")]
async fn consul_with_tls_and_a_token_that_allows_no_more_than_is_needed() {
    let Some(mut world) = World::with_first(Registry::SecureConsul, Proxy::Both).await else {
        return;
    };
    let traffic = Traffic::start(&world, "books-ms");
    world.deploy(&world.books("2.0")).await.committed();
    let picture = world.picture().await;
    assert_eq!(picture.part("key verdigris/services/books-ms/colour"), Some("green"));
    let entries: Vec<_> = picture.parts("catalog books-ms ").collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries.iter().all(|(_, text)| text.contains("\"live\"")), "{entries:?}");
    let before = world.settled().await;
    let ended = world.deploy(&world.books("3.0").fault("right-only-direct")).await;
    assert_eq!(ended.exit(), 12, "{}", ended.story());
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
    assert_eq!(run(&world, &["doctor"]).0, 0);
    traffic.end_after_errors("secure Consul").await;

    let (words, token) = refused_without_its_token(&mut world).await;
    assert!(!words.contains(&token), "a token is told");
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}

/// With another token nothing is deployed; what is said of it everywhere, and the right token.
async fn refused_without_its_token(world: &mut World) -> (String, String) {
    let file = world.home.join("verdigris.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let right = PathBuf::from(world.bed.env("TESTBED_SECURE_CONSUL_TOKEN_FILE"));
    let wrong = world.home.join("wrong-token");
    std::fs::write(&wrong, "11111111-2222-3333-4444-555555555555").unwrap();
    let changed = config.replace(right.to_str().unwrap(), wrong.to_str().unwrap());
    assert_ne!(changed, config);
    std::fs::write(&file, changed).unwrap();
    let (code, mut words) = run(world, &["doctor", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 41, "{words}");
    assert!(words.contains("registry") && words.contains("token"), "{words}");
    world.daemon.kill();
    world.daemon = crate::support::daemon::Daemon::spawn(&world.home, &[]);
    written(world, &world.books("3.0"));
    let begun = std::time::Instant::now();
    let (code, said) = loop {
        // Until it listens nobody can say more.
        let (code, said) = run(world, &["deploy"]);
        if !said.contains("verdigris.sock") || begun.elapsed().as_secs() > 30 {
            break (code, said);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(code != 0, "{said}");
    assert!(said.contains("token") || said.contains("Consul"), "{said}");
    words += &said;
    words += &world.daemon.said();
    (words, std::fs::read_to_string(right).unwrap())
}

/// As `docker-credential-…` is asked and answers; it notes that it was.
const HELPER: &str = r#"#!/bin/sh
read -r server
echo "$1 $server" >>"HOME/asked"
if [ -e "HOME/locked" ]; then echo 'the safe is locked'; exit 1; fi
printf '{"ServerURL":"%s","Username":"%s","Secret":"%s"}\n' \
  "$server" "$(cat "HOME/user")" "$(cat "HOME/password")"
"#;

/// A helper on the PATH, and a Docker configuration that names it.
fn helper(world: &World, home: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let put = |name: &str, text: &str| {
        let path = home.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    };
    put("docker-credential-safe", &HELPER.replace("HOME", home.to_str().unwrap()));
    put("user", world.bed.env("TESTBED_PRIVATE_USER"));
    put("password", world.bed.env("TESTBED_PRIVATE_PASSWORD"));
    let registry = world.bed.env("TESTBED_PRIVATE_IMAGES");
    put("config.json", &json!({ "credHelpers": { registry: "safe" } }).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_whose_password_only_a_credential_helper_knows() {
    let Some(mut world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else {
        return;
    };
    let before = world.settled().await;
    let registry = world.bed.env("TESTBED_PRIVATE_IMAGES").to_owned();
    let stack = Stack::new("books-ms", &format!("{registry}/books-ms:1.0"));
    let safe = tempfile::tempdir().unwrap();
    helper(&world, safe.path());
    let path = format!("{}:{}", safe.path().display(), this_run::path());
    let there = [("DOCKER_CONFIG", safe.path().to_str().unwrap()), ("PATH", &path)];
    // It is named, and nobody finds it; it is found, and does not open.
    for (environment, words) in [(&there[..1], "cannot be run"), (&there[..], "failed")] {
        world.restart(environment).await;
        std::fs::write(safe.path().join("locked"), "").unwrap();
        let ended = world.deploy(&stack).await;
        let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
        assert_eq!((ended.exit(), failure.step), (2, Step::Prepare), "{}", ended.story());
        let told = ended.told();
        assert!(told.contains("docker-credential-safe") && told.contains(words), "{told}");
        world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
    }
    std::fs::remove_file(safe.path().join("locked")).unwrap();
    let ended = world.deploy(&stack).await.committed();
    let asked = std::fs::read_to_string(safe.path().join("asked")).unwrap();
    assert!(asked.lines().all(|line| line == format!("get {registry}")), "{asked}");
    let password = world.bed.env("TESTBED_PRIVATE_PASSWORD");
    assert!(!ended.story().contains(password) && !world.daemon.said().contains(password));
}
