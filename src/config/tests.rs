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
