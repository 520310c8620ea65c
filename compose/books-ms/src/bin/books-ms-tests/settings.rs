//! What to test, read from the environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::mode::{Mode, TestType};

/// A variable that is missing or makes no sense, told whole.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingsError(pub String);

/// What to test.
#[derive(Debug)]
pub struct Settings {
    /// `TEST_TYPE`.
    pub kind: TestType,
    /// `TESTS_MODE`.
    pub mode: Mode,
    /// `TEST_ADDRESSES`: the instances themselves.
    pub addresses: Vec<SocketAddr>,
    /// `TEST_HTTP`: where the proxies answer plainly.
    pub http: Vec<SocketAddr>,
    /// `TEST_HTTPS`: where the proxies answer by TLS.
    pub https: Vec<SocketAddr>,
    /// `TEST_HOST`: the name the public uses.
    pub host: String,
    /// `TEST_PATH`: the path the public uses.
    pub path: String,
    /// `TEST_COLOUR`: who must answer.
    pub colour: Option<String>,
    /// `TEST_RELEASE`: who must answer.
    pub release: Option<String>,
    /// `TEST_CA_PEM`: the authority that must have signed; without it any certificate will do.
    pub ca: Option<String>,
    /// `JUNIT_DIR`, when the mode asks for a file.
    pub junit: Option<PathBuf>,
}

impl Settings {
    /// Reads every variable by `get`.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let wrong = |name: &str, problem: String| SettingsError(format!("`{name}`: {problem}"));
        let list = |name: &str, port| {
            addresses(&get(name).unwrap_or_default(), port).map_err(|problem| wrong(name, problem))
        };
        let kind = get("TEST_TYPE")
            .ok_or_else(|| wrong("TEST_TYPE", "must say which gate this is".to_owned()))?
            .parse()
            .map_err(|problem| wrong("TEST_TYPE", problem))?;
        let mode: Mode = get("TESTS_MODE")
            .unwrap_or_default()
            .parse()
            .map_err(|problem| wrong("TESTS_MODE", problem))?;
        let junit = get("JUNIT_DIR").unwrap_or_else(|| "/junit".to_owned());
        Ok(Self {
            kind,
            mode,
            addresses: list("TEST_ADDRESSES", 8080)?,
            http: list("TEST_HTTP", 80)?,
            https: list("TEST_HTTPS", 443)?,
            host: get("TEST_HOST").unwrap_or_else(|| "localhost".to_owned()),
            path: get("TEST_PATH").unwrap_or_else(|| "/api/v1/books".to_owned()),
            colour: get("TEST_COLOUR"),
            release: get("TEST_RELEASE"),
            ca: get("TEST_CA_PEM"),
            junit: mode.junit.then(|| junit.into()),
        })
    }
}

/// `ip:port` or just `ip`, separated by commas.
fn addresses(text: &str, default_port: u16) -> Result<Vec<SocketAddr>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| address(part, default_port)).collect()
}

fn address(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, default_port)))
        .map_err(|_| format!("`{text}` is not an IP address with a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_environment(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn reads_addresses_with_and_without_port() {
        let settings =
            read(&[("TEST_TYPE", "post-integration"), ("TEST_HTTPS", "10.0.0.1, 10.0.0.2:8443")])
                .unwrap();
        let expected = ["10.0.0.1:443".parse().unwrap(), "10.0.0.2:8443".parse().unwrap()];
        assert_eq!(settings.https, expected);
    }

    #[test]
    fn says_which_variable_is_wrong() {
        assert!(read(&[]).unwrap_err().0.contains("TEST_TYPE"));
        let wrong = read(&[("TEST_TYPE", "pre-integration"), ("TEST_ADDRESSES", "books")]);
        assert!(wrong.unwrap_err().0.contains("`books`"));
    }
}
