use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::document::{leaf, reason};

leaf! {
    /// A path, perhaps relative to the configuration's directory.
    FilePath(PathBuf) is "a path", like "/etc/verdigris/ca.pem", by parse_path;

    /// An address and a port.
    Address(SocketAddr) is "an address with a port", like "127.0.0.1:80", by parse_address;

    /// The private listener of a proxy.
    StatusAddress(SocketAddr) is "the address of a status listener", like "http://127.0.0.1:8404",
        by parse_status;

    /// A URL of HTTP.
    HttpUrl(Url) is "a URL", like "https://host.example.com:8443", by parse_url secrets;

    /// What names proxies and tokens: part of file names and logs.
    Label(String) is "a name", like "edge-1", by parse_label;
}

fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    Ok(PathBuf::from(text))
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) => Err("the port is 0".to_owned()),
        Err(_) => Err("write an IP address (IPv6 in brackets), a colon and a port".to_owned()),
    }
}

fn parse_status(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("http://").unwrap_or(text);
    parse_address(address.strip_suffix('/').unwrap_or(address))
}

fn parse_url(text: &str) -> Result<Url, String> {
    if !(text.starts_with("http://") || text.starts_with("https://")) {
        return Err("it begins neither with `http://` nor with `https://`".to_owned());
    }
    let url = Url::parse(text).map_err(reason)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no host".to_owned());
    }
    Ok(url)
}

/// It becomes part of file names.
const LONGEST_LABEL: usize = 63;

fn parse_label(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !(first && rest && text.len() <= LONGEST_LABEL) {
        return Err("use up to 63 letters, digits and `_.-`, a letter or digit first".to_owned());
    }
    Ok(text.to_owned())
}
