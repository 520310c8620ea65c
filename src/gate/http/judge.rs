//! Whether an answer passes. Pure.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use hyper::header::HeaderMap;

use super::ask::{Answer, AskError};
use super::target::Target;
use crate::lines::printable;
use crate::model::{Colour, HttpCheck, Instance};

/// Which instance answered, by a proxy's word.
const UPSTREAM: &str = "x-verdigris-upstream";

/// Which colour answered, by a proxy's word.
const COLOUR: &str = "x-verdigris-colour";

/// Bytes of a wrong body that are shown.
const SHOWN: usize = 200;

/// The new release, as far as an answer can show that it comes from there.
pub struct Expected<'a> {
    /// Its colour.
    pub colour: Colour,
    /// Its instances, as they were last seen.
    pub instances: &'a [Instance],
}

/// What is thought of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes; a few words on it.
    Passed(String),
    /// It does not, and why.
    Failed(String),
    /// The new colour answered, by an instance that is not among those expected: it may have come since.
    Unknown(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(words) | Self::Failed(words) => f.write_str(words),
            Self::Unknown(upstream) => {
                write!(f, "{upstream} answered, which is no instance of the new release")
            }
        }
    }
}

pub fn judge(
    check: &HttpCheck,
    expected: &Expected<'_>,
    target: &Target,
    outcome: &Result<Answer, AskError>,
) -> Verdict {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => return Verdict::Failed(chain(error)),
    };
    let wanted_proof = target.through.as_ref().is_some_and(|through| through.probe.is_some());
    let proof = if wanted_proof { prove(expected, &answer.headers) } else { Ok(String::new()) };
    // The wrong colour explains a wrong answer, so it is told first.
    let proof = match proof {
        Ok(proof) => proof,
        Err(verdict) => return verdict,
    };
    if answer.status.as_u16() != check.status {
        let status = answer.status.as_u16();
        return Verdict::Failed(format!(
            "status {status} instead of {}{}",
            check.status,
            shown(&answer.body)
        ));
    }
    if let Some(text) = check.body.as_ref().filter(|text| !contains(&answer.body, text)) {
        return Verdict::Failed(format!("`{text}` is not in the answer{}", shown(&answer.body)));
    }
    // Measured by the same clock as the limit, but to the end: the timer may be late.
    if let Some(limit) = check.max_time.filter(|limit| answer.took > *limit) {
        return Verdict::Failed(format!(
            "it took {:?}, more than {}",
            answer.took,
            humantime::format_duration(limit)
        ));
    }
    Verdict::Passed(format!("{} in {:.1?}{proof}", answer.status.as_u16(), answer.took))
}

/// One of the new instances answered, and the proxy takes it for the new colour.
fn prove(expected: &Expected<'_>, headers: &HeaderMap) -> Result<String, Verdict> {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(upstream) = said(UPSTREAM).and_then(last_upstream) else {
        let why = "the proxy does not say which instance answered";
        return Err(Verdict::Failed(why.to_owned()));
    };
    let colour = said(COLOUR).unwrap_or("no colour");
    if colour != expected.colour.as_str() {
        let why = format!("{colour} ({upstream}) answered instead of {}", expected.colour);
        return Err(Verdict::Failed(why));
    }
    let ours = |address: &SocketAddr| expected.instances.iter().any(|one| one.address == *address);
    if upstream.parse().is_ok_and(|address| ours(&address)) {
        return Ok(format!(" from {colour} {upstream}"));
    }
    Err(Verdict::Unknown(upstream.to_owned()))
}

/// A proxy that tried several names them all; the last one answered.
fn last_upstream(said: &str) -> Option<&str> {
    said.split([',', ' ']).rfind(|part| !part.is_empty() && *part != ":")
}

fn contains(body: &[u8], text: &str) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text.as_bytes())
}

fn shown(body: &[u8]) -> String {
    if body.is_empty() {
        return ", which is empty".to_owned();
    }
    let beginning = printable(&body[..body.len().min(SHOWN)]);
    let more = if body.len() > SHOWN { "…" } else { "" };
    format!(": `{}{more}`", beginning.trim())
}

fn chain(error: &AskError) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        line.push_str(": ");
        line.push_str(&source.to_string());
        next = source.source();
    }
    line
}
