//! Child processes with an end: the proxies' checkers and reload commands.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::error::{Error, Result};

/// A checker that loads a thousand certificates takes about 1.3 s; ten times that is stuck.
const LIMIT: Duration = Duration::from_secs(15);

/// Most lines kept of what a command says.
const MOST_LINES: usize = 40;

/// What a command said and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Said {
    pub success: bool,
    pub lines: Vec<String>,
}

/// Run `argv` to its end.
pub(crate) async fn run(argv: &[String]) -> Result<Said> {
    let command = argv.join(" ");
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Error::NotConfigured { setting: "check" });
    };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let child = child.map_err(|source| Error::Run { command: command.clone(), source })?;
    let output = timeout(LIMIT, child.wait_with_output()).await;
    let Ok(output) = output else {
        return Err(Error::TooSlow { command, limit: LIMIT });
    };
    let output = output.map_err(|source| Error::Run { command, source })?;
    let text = [output.stderr, output.stdout].concat();
    Ok(Said {
        success: output.status.success(),
        lines: String::from_utf8_lossy(&text)
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .take(MOST_LINES)
            .map(str::to_owned)
            .collect(),
    })
}

/// Let the proxy's checker look at `file`. What it warns of counts as refused.
pub(crate) async fn check(argv: &[String], file: &Path) -> Result<()> {
    // The file is one that nobody knows: people are told the command as they wrote it.
    let written = argv.join(" ");
    let argv: Vec<String> =
        argv.iter().map(|word| word.replace("{file}", &file.display().to_string())).collect();
    let said = run(&argv).await.map_err(|error| error.of_command(&written))?;
    if said.success && !said.lines.iter().any(|line| is_warning(line)) {
        return Ok(());
    }
    Err(Error::Refused { command: written, words: complaints(said.lines) })
}

/// Warnings of nginx and `HAProxy`, other than those that say nothing of the configuration itself: a
/// newer nginx prefers `http2 on;`, which an older one does not know; a checker that is not root
/// cannot use `user`.
fn is_warning(line: &str) -> bool {
    let warns = line.contains("[warn]") || line.contains("[WARNING]");
    let harmless = line.contains("\"listen ... http2\" directive is deprecated")
        || line.contains("the \"user\" directive makes sense only");
    warns && !harmless
}

/// What matters first, each once: nginx says it on its standard error and in its log.
fn complaints(lines: Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in lines.into_iter().map(|line| of_nginx(&line)) {
        if !all.contains(&line) {
            all.push(line);
        }
    }
    in_order(all)
}

/// A line of nginx's log as it stands on its standard error: without time and process.
fn of_nginx(line: &str) -> String {
    let logged = || {
        let rest = line.strip_prefix(|c: char| c.is_ascii_digit())?;
        let (_, rest) = rest.split_once(" [")?;
        let (mark, rest) = rest.split_once("] ")?;
        let (process, words) = rest.split_once(": ")?;
        let is_process = process.contains('#') && !process.contains(' ');
        is_process.then(|| format!("nginx: [{mark}] {words}"))
    };
    logged().unwrap_or_else(|| line.to_owned())
}

fn in_order(lines: Vec<String>) -> Vec<String> {
    let grave = |line: &String| {
        ["[emerg]", "[alert]", "[crit]", "[ALERT]", "[warn]", "[WARNING]"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = lines.into_iter().partition(grave);
    first.extend(rest);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Vec<String> {
        complaints(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn what_nginx_says_twice_is_told_once_and_first() {
        let lines = [
            "nginx: configuration file /x test failed",
            "2026/11/29 16:03:07 [emerg] 8212#8212: unknown directive \"this\" in /x:3",
            "nginx: [emerg] unknown directive \"this\" in /x:3",
            "2026 was a good year [x] in all: of it",
        ];
        assert_eq!(told(&lines), [lines[2], lines[0], lines[3]]);
    }

    #[test]
    fn what_is_said_of_different_things_is_kept() {
        let lines =
            ["[ALERT]    (7) : config : [a.cfg:1] no", "[ALERT]    (7) : config : [b.cfg:1] no"];
        assert_eq!(told(&lines), lines);
        let others = ["a [x] y", "b [x] y", "nginx: [warn] a: b", "nginx: [warn] c: b"];
        assert_eq!(told(&others).len(), others.len());
    }
}
