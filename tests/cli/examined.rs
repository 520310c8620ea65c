//! `doctor --config`: the proxies' own checkers look at what would be rendered, and nothing is touched.

use std::collections::BTreeSet;
use std::path::Path;

use rstest::rstest;
use verdigris::proxy::Kind;

use crate::run::{Ran, finish, program};

fn proxy(kind: Kind, check: &[&str], more: &str) -> String {
    let files = match kind {
        Kind::Nginx => "flags = \"flags\"\npid_file = \"nginx.pid\"\n",
        Kind::Haproxy => "map = \"not-there-yet/routes.map\"\nmaster_socket = \"master.sock\"\n",
    };
    format!(
        "[daemon]\nstate = \"state\"\nlisten = [\"unix:verdigris.sock\"]\n\
         [swarm]\nhost = \"unix:///no/such/docker.sock\"\n\
         [[proxy]]\nname = \"edge\"\nkind = \"{kind}\"\noutput = \"edge.conf\"\n{files}\
         status = \"http://127.0.0.1:18099\"\nhttp = \"127.0.0.1:18080\"\ncheck = {check:?}\n{more}"
    )
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// What the doctor says of the proxy in this configuration, of which nothing is left behind.
async fn examined(directory: &Path, config: &str) -> (String, String) {
    said_of("proxy edge", directory, config).await
}

async fn said_of(subject: &str, directory: &Path, config: &str) -> (String, String) {
    std::fs::write(directory.join("verdigris.toml"), config).unwrap();
    let before = names(directory);
    let arguments = ["doctor", "--config", "verdigris.toml", "--output", "json"];
    let child = program(directory).args(arguments).spawn().unwrap();
    let ran: Ran = finish(child).await;
    assert_eq!(names(directory), before);
    let findings = ran.json();
    let meant = |finding: &&serde_json::Value| finding["subject"] == subject;
    let found: Vec<_> = findings.as_array().unwrap().iter().filter(meant).collect();
    let [finding] = found[..] else { panic!("{findings:#}") };
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    (text("severity"), format!("{} ({})", text("message"), text("remedy")))
}

/// A checker that refuses whatever names this word, says so, and keeps a copy of what it saw.
fn script(directory: &Path, refuses: &str) -> String {
    let path = directory.join("check.sh");
    let text = format!(
        "#!/bin/sh\ncp \"$1\" {0}/seen\n! grep -q '{refuses}' \"$1\" || {{ echo 'no {refuses} here'; exit 1; }}\n",
        directory.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::write(directory.join("seen"), "").unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn the_checker_s_words_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let template = "worker of {{ proxy.name }} {{ probe.value }}\n";
    std::fs::write(path.join("edge.tera"), template).unwrap();
    let config = |refuses: &str| {
        let checker = script(path, refuses);
        proxy(Kind::Nginx, &["/bin/sh", &checker, "{file}"], "template = \"edge.tera\"\n")
    };
    let (severity, words) = examined(path, &config("worker of edge")).await;
    assert_eq!(severity, "bad", "{words}");
    assert!(words.contains("the proxy's checker refuses the configuration"), "{words}");
    assert!(words.contains("no worker of edge here"), "{words}");
    assert!(words.contains("correct the template"), "{words}");
    let (severity, words) = examined(path, &config("something else")).await;
    assert_eq!(
        (severity.as_str(), words.as_str()),
        ("good", "its checker takes what would be rendered ()")
    );
    assert_eq!(std::fs::read_to_string(path.join("seen")).unwrap(), "worker of edge secret\n");
}

/// As for a proxy that was kept before, whose secret nobody is told.
#[tokio::test]
async fn the_services_that_a_keeper_remembers_are_rendered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let template = "{% for s in services %}{{ s.name }}{% endfor %} {{ probe.value }}\n";
    std::fs::write(path.join("edge.tera"), template).unwrap();
    let state = path.join("state/proxies/edge");
    std::fs::create_dir_all(&state).unwrap();
    let rule = serde_json::json!({ "hosts": ["books.example.com"], "path": "/", "tls": false });
    let view = serde_json::json!({
        "service": "books-ms", "rule": rule, "live": null, "generation": 1, "backends": {},
    });
    let state_of = serde_json::json!({
        "probe": "0123456789abcdef", "template": null, "written": null, "loaded": null,
        "entries": { "books-ms": { "view": view, "next": null } },
    });
    std::fs::write(state.join("proxy-edge.json"), state_of.to_string()).unwrap();
    let script = "cat \"$0\"; cp \"$0\" seen; exit 1";
    let check = ["/bin/sh", "-c", script, "{file}"];
    let config = proxy(Kind::Nginx, &check, "template = \"edge.tera\"\n");
    std::fs::write(path.join("seen"), "").unwrap();
    let (severity, words) = examined(path, &config).await;
    assert_eq!(severity, "bad");
    assert_eq!(std::fs::read_to_string(path.join("seen")).unwrap(), "books-ms 0123456789abcdef\n");
    assert!(words.contains("books-ms (secret)") && !words.contains("0123456789abcdef"), "{words}");
    std::fs::write(state.join("proxy-edge.json"), "{").unwrap();
    let (_, words) = examined(path, &config).await;
    assert!(words.contains("what is known of the proxy cannot be read from"), "{words}");
}

#[tokio::test]
async fn a_checker_that_is_not_here_is_said_not_to_have_looked() {
    let directory = tempfile::tempdir().unwrap();
    let config = proxy(Kind::Nginx, &["no-such-checker", "{file}"], "");
    let (severity, words) = examined(directory.path(), &config).await;
    assert_eq!(severity, "bad");
    assert!(
        words.contains(
            "`no-such-checker` is not found here, so what would be rendered is not checked"
        ),
        "{words}"
    );
}

#[rstest]
#[case(Kind::Nginx, &["/usr/sbin/nginx", "-t", "-q", "-e", "stderr", "-c", "{file}"], "worker_processes")]
#[case(Kind::Haproxy, &["/usr/sbin/haproxy", "-c", "-f", "{file}"], "fd-hard-limit")]
#[tokio::test]
async fn a_real_checker_takes_the_built_in_template_and_refuses_a_broken_one(
    #[case] kind: Kind,
    #[case] check: &[&str],
    #[case] word: &str,
) {
    if !Path::new(check[0]).exists() {
        eprintln!("SKIPPED: {kind} is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (severity, words) = examined(path, &proxy(kind, check, "")).await;
    assert_eq!(severity, "good", "{words}");

    let file = if kind == Kind::Nginx { "nginx.conf.tera" } else { "haproxy.cfg.tera" };
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(file);
    let template = std::fs::read_to_string(template).unwrap();
    let line = template.lines().position(|line| line.contains(word)).unwrap() + 1;
    std::fs::write(path.join("edge.tera"), template.replace(word, "no_such_word")).unwrap();
    let config = proxy(kind, check, "template = \"edge.tera\"\n");
    let (severity, words) = examined(path, &config).await;
    assert_eq!(severity, "bad", "{words}");
    assert!(words.contains("`no_such_word"), "{words}");
    let (column, place) = (if kind == Kind::Nginx { 1 } else { 5 }, path.join("edge.tera"));
    let place = format!("{}:{line}:{column}", place.display());
    assert!(words.contains(&place) && !words.contains(".rehearsed"), "{place}: {words}");
}

#[tokio::test]
async fn a_listener_is_bad_only_where_the_daemon_could_not_make_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config = |socket: &str| {
        let listen = format!("listen = [\"unix:{socket}\"]");
        let config = proxy(Kind::Nginx, &["true", "{file}"], "");
        config.replace("listen = [\"unix:verdigris.sock\"]", &listen)
    };
    for socket in ["verdigris.sock", "run/verdigris/verdigris.sock"] {
        let (severity, words) = said_of("listener", path, &config(socket)).await;
        assert_eq!(severity, "good", "{words}");
        assert!(words.contains(&format!("{socket}` can be made")), "{words}");
    }
    std::fs::write(path.join("file"), "").unwrap();
    let (severity, words) = said_of("listener", path, &config("file")).await;
    assert_eq!(severity, "bad", "{words}");
    assert!(words.contains("file` exists and is not a socket"), "{words}");
    for socket in ["file/verdigris.sock", "/proc/none/verdigris.sock"] {
        let (severity, words) = said_of("listener", path, &config(socket)).await;
        assert_eq!(severity, "bad", "{words}");
        assert!(words.contains("cannot write to"), "{words}");
    }
}
