//! The configurations in `compose/`.

use std::collections::BTreeMap;
use std::path::Path;

use verdigris::config::{self, Config, ProxyKind, Registry};

use crate::compose;

pub fn parse(path: &Path, text: &str) -> Config {
    config::parse(path, text, BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_configuration_is_valid() {
    let path = compose("verdigris.toml");
    let config = parse(&path, &std::fs::read_to_string(&path).unwrap());
    let kinds: Vec<_> = config.proxies.iter().map(|proxy| proxy.kind).collect();
    assert_eq!(kinds, [ProxyKind::Nginx, ProxyKind::Haproxy]);
    assert_eq!(config.registry, Registry::Embedded);
}

#[test]
fn the_configuration_of_the_daemon_as_a_service_is_valid() {
    let path = compose("verdigris/verdigris.toml");
    let config = parse(&path, &std::fs::read_to_string(&path).unwrap());
    assert_eq!(config.proxies.len(), 1);
}

/// The key that `line` sets, and whether it is commented out: `#key = …`.
fn key(line: &str) -> Option<(&str, bool)> {
    let (name, _) = line.split_once(" = ")?;
    let bare = name.strip_prefix('#').unwrap_or(name);
    let word = bare.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (word && !bare.is_empty()).then_some((bare, bare.len() < name.len()))
}

/// `text` with each commented key in force, in place of what it is the alternative to.
fn with_alternatives(text: &str) -> String {
    let mut done = String::new();
    for section in text.split_inclusive("\n\n") {
        let lines: Vec<&str> = section.lines().collect();
        let alternative = |name| lines.iter().find(|line| key(line) == Some((name, true)));
        for line in &lines {
            match key(line) {
                Some((name, commented)) => match alternative(name) {
                    Some(chosen) if !commented || chosen != line => {}
                    Some(chosen) => done.push_str(&chosen[1..]),
                    None => done.push_str(line),
                },
                None => done.push_str(line),
            }
            done.push('\n');
        }
    }
    done
}

#[test]
fn what_is_commented_out_in_the_configuration_is_valid_too() {
    let path = compose("verdigris.toml");
    let text = with_alternatives(&std::fs::read_to_string(&path).unwrap());
    let config = parse(&path, &text);
    assert!(matches!(config.registry, Registry::Consul(_)));
    assert_eq!(config.swarm.host, "tcp://manager.example.com:2376");
    assert_eq!(config.proxies[0].template, Some(compose("nginx.conf.tera")));
}
