//! The single values of a stack file, each with its own check.

use std::net::IpAddr;
use std::time::Duration;

use crate::document::{leaf, parse_cpus, parse_duration, parse_size, parse_whole, reason};
use crate::model::ImageRef;

/// A part of a duration, whatever the number, in the schema.
macro_rules! part {
    () => {
        r"([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d|w)"
    };
}

leaf! {
    /// A stretch of time.
    Period(Duration) is "a duration", like "1m30s", by parse_duration,
        schema {
            "type": "string",
            "description": "A duration such as `500ms`, `10s`, `1m30s`, `1h`",
            "pattern": concat!("^(", part!(), r")+$|^0$|\$"),
        };

    /// An amount of memory.
    Size(u64) is "a size", like "128M", by parse_size numbers;

    /// A share of the processors, in billionths of one.
    Cpus(i64) is "a number of processors", like "0.5", by parse_cpus numbers;

    /// A reference to an image.
    Image(ImageRef) is "an image", like "registry.example.com/books:1.0", by parse_image,
        schema {
            "type": "string",
            "description": "An image: `[host[:port]/]path[:tag][@digest]`",
            "pattern": r"^([A-Za-z0-9._:\[\]-]+/)?[a-z0-9._-]+(/[a-z0-9._-]+)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9A-Fa-f]{64})?$|\$",
        };

    /// A port of a container.
    Port(u16) is "a port", like "8080", by parse_port numbers,
        schema {
            "type": ["integer", "string"], "minimum": 1, "maximum": 65535,
            "pattern": r"^[0-9]+$|\$",
        };

    /// How many of something.
    Count(u32) is "a whole number", like "2", by parse_whole numbers,
        schema {
            "type": ["integer", "string"], "minimum": 0, "maximum": u32::MAX,
            "pattern": r"^[0-9]+$|\$",
        };

    /// Permissions of a file.
    Mode(u32) is "a file mode", like "0440", by parse_mode numbers;

    /// An address of a name server.
    Address(IpAddr) is "an IP address", like "10.0.0.53", by parse_address;

    /// What a name must be that becomes part of names in the Swarm.
    Name(String) is "a name", like "books-db", by parse_name,
        schema { "type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]*$|\$" };

    /// What an instance calls itself; Swarm fills in `{{…}}` per task.
    Hostname(String) is "a host name", like "books", by parse_hostname;

    /// The signal that ends a container.
    Signal(String) is "a signal", like "SIGTERM", by parse_signal;

    /// An absolute path in a container.
    InsidePath(String) is "an absolute path in the container", like "/data", by parse_inside_path;
}

/// Durations that are not zero, in the schema.
pub(super) const SOME_TIME: &str = concat!(
    "^(",
    part!(),
    r")*([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]*\.[0-9]*[1-9][0-9]*)(ns|us|µs|ms|s|m|h|d|w)(",
    part!(),
    r")*$|\$"
);

fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(reason)
}

fn parse_image(text: &str) -> Result<ImageRef, String> {
    text.parse::<ImageRef>().map_err(|error| error.why().to_owned())
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("ports are whole numbers from 1 to 65535".to_owned()),
        Ok(port) => Ok(port),
    }
}

/// Octal with a leading `0` or `0o`, as YAML 1.1 and 1.2 write it; decimal otherwise, unless it looks
/// so much like a forgotten zero that it must be asked.
fn parse_mode(text: &str) -> Result<u32, String> {
    const ALL: u32 = 0o7777;
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
    let mode = match octal {
        Some("") => Ok(0),
        Some(digits) => u32::from_str_radix(digits, 8),
        None if text.len() <= 4 && text.chars().all(|c| c.is_digit(8)) => {
            return Err(format!("it could be octal or decimal: write `0{text}`"));
        }
        None => text.parse(),
    };
    match mode {
        Ok(mode) if mode <= ALL => Ok(mode),
        Ok(_) => Err("it has bits above 07777".to_owned()),
        Err(_) => Err("it has other characters than octal digits".to_owned()),
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !(first && rest) {
        return Err("use letters, digits and `_.-`, a letter or digit first".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_hostname(text: &str) -> Result<String, String> {
    if is_template(text) { Ok(text.to_owned()) } else { parse_name(text) }
}

/// Swarm replaces parts of it for each task: `data-{{.Task.Slot}}`.
pub(super) fn is_template(text: &str) -> bool {
    text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"))
}

fn parse_signal(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    let word = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "+-".contains(c));
    if !(number || word) {
        return Err("signals have names such as `SIGINT` or numbers from 1 to 64".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_inside_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("it does not begin with `/`".to_owned());
    }
    if text.contains(|c: char| c.is_control()) {
        return Err("it has control characters".to_owned());
    }
    Ok(text.to_owned())
}
