//! `books-ms health`: the container's health check, in an image that has no shell and no curl.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use books_ms::say;

/// A check that takes longer is a failed one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks our own `/health`; an error unless it answers 200.
pub fn healthy(port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let status =
        status_line(address).with_context(|| format!("cannot ask http://{address}/health"))?;
    if !status.starts_with("HTTP/1.1 200 ") {
        bail!("/health answers `{status}`");
    }
    say("healthy");
    Ok(())
}

fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}
