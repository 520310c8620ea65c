use url::Url;

use crate::document::{leaf, reason};

leaf! {
    /// A host name, lower case.
    Host(String) is "a host name", like "books.example.com", by parse_host,
        schema {
            "type": "string",
            "description": "A DNS name",
            "maxLength": LONGEST_NAME,
            "pattern": r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$|\$",
            // An address.
            "not": { "pattern": r"(^|\.)[0-9]+$" },
        };

    /// A path prefix, without a slash at its end unless it is `/`.
    RoutePath(String) is "a path", like "/api/v1/books", by parse_route_path,
        schema {
            "type": "string",
            "pattern": r"^/[A-Za-z0-9/._~-]*$|\$",
            // Empty segments, `.` and `..`.
            "not": { "pattern": r"//|/\.{1,2}(/|$)" },
        };

    /// Path and query of a request.
    RequestPath(String) is "a path", like "/health?deep=1", by parse_request_path,
        schema { "type": "string", "pattern": r"^/[!$-;=?-\[\]_a-z~]*$|\$" };

    /// An absolute URL of HTTP.
    WebAddress(Url) is "a URL", like "https://database.example.com/ready", by parse_web_address secrets,
        schema { "type": "string", "pattern": r"^https?://[^/@#]+(/[^#]*)?$|\$" };

    /// A method of HTTP.
    Method(String) is "a method", like "GET", by parse_method,
        schema {
            "type": "string", "enum": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
        };

    /// A status of HTTP.
    Status(u16) is "a status", like "200", by parse_status numbers,
        schema {
            "type": ["integer", "string"], "minimum": 100, "maximum": 599,
            "pattern": r"^[0-9]+$|\$",
        };

    /// A share, from 0 to 1.
    Ratio(f64) is "a share", like "0.01", by parse_ratio numbers,
        schema {
            "type": ["number", "string"], "minimum": 0, "maximum": 1,
            "pattern": r"^([0-9]{1,2}(\.[0-9]*)?|\.[0-9]+|100(\.0*)?)%$|^[0-9.]+$|\$",
        };

    /// How a gate is called.
    GateName(String) is "a name", like "smoke", by parse_gate_name,
        schema { "type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$|\$" };
}

/// Limits of DNS: a name, a label of it.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

fn parse_host(text: &str) -> Result<String, String> {
    let why = if text.contains("://") || text.contains('/') {
        "it is a URL: leave the scheme and the path out"
    } else if text.contains(':') {
        "it has a port: the proxies listen on 80 and 443"
    } else if text.contains('*') {
        "wildcards are not supported: name each host"
    } else if text.ends_with('.') {
        "it ends with a dot"
    } else if !text.is_ascii() {
        "it has characters outside ASCII: write it in Punycode (`xn--…`)"
    } else if text.len() > LONGEST_NAME {
        "it is longer than 253 characters"
    } else if text.split('.').any(|label| label.is_empty() || label.len() > LONGEST_LABEL) {
        "a part between dots is empty or longer than 63 characters"
    } else if !text.split('.').all(is_label) {
        "its parts have letters, digits and hyphens only, and no hyphen first or last"
    } else if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        "it is an address: give it a name"
    } else {
        return Ok(text.to_ascii_lowercase());
    };
    Err(why.to_owned())
}

fn is_label(label: &str) -> bool {
    label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// What is neither structure to nginx or HAProxy nor encoded: proxies compare the path before or
/// after decoding, so that only characters which are the same in both will do.
fn parse_route_path(text: &str) -> Result<String, String> {
    let why = if !text.starts_with('/') {
        "it does not begin with `/`"
    } else if text.contains('%') {
        "encoded characters are not supported"
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._~-".contains(&b)) {
        "it may have letters, digits and `/._~-` only"
    } else if text.contains("//") {
        "it has an empty segment"
    } else if text.split('/').any(|segment| segment == "." || segment == "..") {
        "`.` and `..` never arrive in a request"
    } else if text == "/" {
        return Ok(text.to_owned());
    } else {
        return Ok(text.trim_end_matches('/').to_owned());
    };
    Err(why.to_owned())
}

fn parse_request_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("it does not begin with `/`".to_owned());
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b)) {
        return Err("it has characters that must be percent-encoded".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(reason)?;
    let why = if !matches!(url.scheme(), "http" | "https") {
        "it begins with neither `http://` nor `https://`"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it has a name or a password in it: send `headers` instead"
    } else if url.fragment().is_some() {
        "what follows `#` is never sent"
    } else {
        return Ok(url);
    };
    Err(why.to_owned())
}

const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

fn parse_method(text: &str) -> Result<String, String> {
    if !METHODS.contains(&text) {
        return Err(format!("known are {}", METHODS.join(", ")));
    }
    Ok(text.to_owned())
}

fn parse_status(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err("statuses go from 100 to 599".to_owned()),
    }
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(number) if (0.0..=scale).contains(&number) => Ok(number / scale),
        _ => Err("shares go from 0 to 1, or from 0% to 100%".to_owned()),
    }
}

/// It becomes part of container names and file names.
fn parse_gate_name(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !(first && rest && text.len() <= LONGEST_LABEL) {
        return Err("use up to 63 letters, digits and `_.-`, a letter or digit first".to_owned());
    }
    Ok(text.to_owned())
}
