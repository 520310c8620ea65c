use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonAddress {
    /// On a unix socket.
    Unix(PathBuf),
    /// At `http://HOST:PORT`, or behind something that speaks TLS at `https://…`.
    Url(Url),
}

impl DaemonAddress {
    /// The URL of `path`; over a unix socket the host stands for nothing.
    pub(super) fn url(&self, path: &str) -> String {
        match self {
            Self::Unix(_) => format!("http://verdigris{path}"),
            Self::Url(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
        }
    }
}

/// The text does not say where a daemon listens.
#[derive(Debug, thiserror::Error)]
#[error("{why}; write `unix:/run/verdigris/verdigris.sock` or `http://HOST:PORT`")]
pub struct ParseAddressError {
    why: String,
}

impl FromStr for DaemonAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| Err(ParseAddressError { why: why.to_owned() });
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///path`, as Docker writes it, is the same path.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => wrong("the socket's path is missing"),
                path => Ok(Self::Unix(path.into())),
            };
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return wrong("it starts neither with `unix:` nor with `http://`");
        }
        match Url::parse(text) {
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                wrong("it has a query or a fragment")
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                wrong("it has credentials; the token comes from `--token-file`")
            }
            Ok(url) => Ok(Self::Url(url)),
            Err(error) => wrong(&format!("it is not a URL: {error}")),
        }
    }
}

impl fmt::Display for DaemonAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_read_and_printed() {
        for (text, printed) in [
            ("unix:/run/v.sock", "unix:/run/v.sock"),
            ("unix:///run/v.sock", "unix:/run/v.sock"),
            ("unix:v.sock", "unix:v.sock"),
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("https://deploy.example.com/", "https://deploy.example.com"),
        ] {
            assert_eq!(text.parse::<DaemonAddress>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for text in
            ["", "unix:", "/run/v.sock", "tcp://h:1", "http://", "http://u:p@h", "http://h?x"]
        {
            assert!(text.parse::<DaemonAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_appended_once() {
        let address: DaemonAddress = "http://host:1/".parse().unwrap();
        assert_eq!(address.url("/v1/status"), "http://host:1/v1/status");
    }
}
