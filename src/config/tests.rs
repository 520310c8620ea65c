//! What a configuration becomes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Config, ENGINE, LISTEN, Listen, Problems, ProxyKind, Registry, parse};

fn read(text: &str) -> Result<Config, Problems> {
    parse(Path::new("/etc/verdigris/verdigris.toml"), text, BTreeMap::new())
}

fn config(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// As `scripts/testbed config` prints it.
const TESTBED: &str = r#"
[daemon]
state = "/var/lib/verdigris-testbed/verdigris"
listen = ["unix:/var/lib/verdigris-testbed/verdigris/verdigris.sock"]

[swarm]
host = "unix:///var/lib/verdigris-testbed/node1/docker.sock"

[ci]
host = "unix:///var/lib/verdigris-testbed/node1/docker.sock"

[registry]
kind = "consul"
address = "http://10.111.0.5:8500"
prefix = "verdigris"

[[proxy]]
name = "edge-nginx"
kind = "nginx"
output = "/var/lib/verdigris-testbed/nginx/nginx.conf"
flags = "/var/lib/verdigris-testbed/nginx/flags"
check = ["/in-edge", "nginx", "-p", "/nginx/", "-e", "stderr", "-t", "-q", "-c", "{file}"]
pid_file = "/var/lib/verdigris-testbed/nginx/nginx.pid"
status = "http://10.111.0.3:8404"
http = "10.111.0.3:80"
https = "10.111.0.3:443"
ca = "/var/lib/verdigris-testbed/ca.pem"
certificates = "/var/lib/verdigris-testbed/certs"

[[proxy]]
name = "edge-haproxy"
kind = "haproxy"
output = "/var/lib/verdigris-testbed/haproxy/haproxy.cfg"
map = "/var/lib/verdigris-testbed/haproxy/hosts.map"
check = ["/in-edge", "haproxy", "-c", "-f", "{file}"]
master_socket = "/var/lib/verdigris-testbed/haproxy/master.sock"
runtime_socket = "/var/lib/verdigris-testbed/haproxy/runtime.sock"
pid_file = "/var/lib/verdigris-testbed/haproxy/haproxy.pid"
status = "http://10.111.0.4:8404"
http = "10.111.0.4:80"
https = "10.111.0.4:443"
ca = "/var/lib/verdigris-testbed/ca.pem"
certificates = "/var/lib/verdigris-testbed/certs"
"#;

#[test]
fn what_the_testbed_prints_is_taken_whole() {
    let config = config(TESTBED);
    assert_eq!(config.proxies.len(), 2);
    assert_eq!(config.proxies[1].kind, ProxyKind::Haproxy);
    assert_eq!(config.proxies[1].status, "10.111.0.4:8404".parse().unwrap());
    let Registry::Consul(consul) = &config.registry else { panic!("{:?}", config.registry) };
    assert_eq!(consul.address.as_str(), "http://10.111.0.5:8500/");
}

#[test]
fn an_empty_file_has_every_default() {
    let config = config("");
    assert_eq!(config.swarm.host, ENGINE);
    assert_eq!(config.ci, config.swarm);
    assert_eq!(config.registry, Registry::Embedded);
    let socket = PathBuf::from(LISTEN.strip_prefix("unix:").unwrap());
    assert_eq!(config.daemon.listen, [Listen::Unix(socket)]);
}

/// What the reader answers to a key that nobody knows: all that it knows.
fn known_keys(section: &str) -> Vec<String> {
    let problems = read(&format!("{section}\nqqqq = 1\n")).unwrap_err();
    let answer = problems.iter().find(|problem| problem.what.contains("qqqq")).unwrap();
    let list = answer.remedy.strip_prefix("known here: ").unwrap_or_else(|| panic!("{answer}"));
    list.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_key_is_documented_and_in_the_example() {
    let documentation = include_str!("../config.rs");
    let example = include_str!("../../compose/verdigris.toml");
    let sections = ["[daemon]", "[swarm]", "[registry]", "[[proxy]]", "[[notify]]", "[[token]]"];
    for section in sections {
        for key in known_keys(section) {
            assert!(documentation.contains(&format!("`{key}`")), "{section} {key}: documentation");
            assert!(example.contains(&format!("{key} = ")), "{section} {key}: example");
        }
    }
}

#[test]
fn what_is_left_open_about_engines_is_taken_from_the_environment() {
    let set = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let path = Path::new("/etc/verdigris/verdigris.toml");
    let tls = [
        ("DOCKER_HOST", "tcp://10.0.0.1:2376"),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", "/certs"),
    ];
    let config = parse(path, "", set(&tls)).unwrap();
    assert_eq!(config.swarm.host, "tcp://10.0.0.1:2376");
    assert_eq!(config.swarm.tls.unwrap().ca, Some("/certs/ca.pem".into()));
    let config = parse(path, "[swarm]\nhost = \"unix:///a\"", set(&tls)).unwrap();
    assert_eq!((config.swarm.host.as_str(), config.swarm.tls), ("unix:///a", None));
    let problems = parse(path, "", set(&[("DOCKER_HOST", "10.0.0.1")])).unwrap_err();
    assert!(problems.to_string().contains("`DOCKER_HOST`"), "{problems}");
}

#[test]
fn paths_begin_in_the_directory_of_the_file() {
    let config = config("[daemon]\nstate = \"state\"\nlisten = [\"unix:run/v.sock\"]\n");
    assert_eq!(config.daemon.state, PathBuf::from("/etc/verdigris/state"));
    assert_eq!(config.daemon.listen, [Listen::Unix("/etc/verdigris/run/v.sock".into())]);
}

#[test]
fn secrets_are_not_repeated() {
    let text = r#"
[swarm]
host = "ssh://me:sesame@10.0.0.1"
[[notify]]
url = "ftp://example.com/sesame"
[[token]]
name = "jenkins"
hash = "sesame"
scopes = ["deploy"]
"#;
    let problems = read(text).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems}");
    assert!(!problems.to_string().contains("sesame"), "{problems}");
    let config = config("[[notify]]\nurl = \"https://example.com/sesame\"\n");
    assert!(!format!("{config:?}").contains("sesame"));
}
