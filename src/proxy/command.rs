//! Child processes with an end: the proxies' checkers and reload commands.

use std::collections::BTreeSet;
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
    let argv: Vec<String> =
        argv.iter().map(|word| word.replace("{file}", &file.display().to_string())).collect();
    let said = run(&argv).await?;
    if said.success && !said.lines.iter().any(|line| is_warning(line)) {
        return Ok(());
    }
    Err(Error::Refused { command: argv.join(" "), words: complaints(said.lines) })
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

/// What matters first, each once.
fn complaints(lines: Vec<String>) -> Vec<String> {
    let mut said = BTreeSet::new();
    let lines = lines.into_iter().filter(|line| said.insert(essence(line)));
    let grave = |line: &String| {
        ["[emerg]", "[alert]", "[crit]", "[ALERT]", "[warn]", "[WARNING]"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = lines.partition(grave);
    first.extend(rest);
    first
}

/// A line of nginx without who says it and when: until it has opened its log it says everything twice, as
/// `nginx: [emerg] …` and as `2026/11/29 12:00:00 [emerg] 7#7: …`.
fn essence(line: &str) -> String {
    let Some((head, rest)) = line.split_once('[') else { return line.to_owned() };
    let dated = |head: &str| head.chars().all(|c| c.is_ascii_digit() || "/: ".contains(c));
    if head != "nginx: " && !dated(head) {
        return line.to_owned();
    }
    let numbers = |who: &str| who.chars().all(|c| c.is_ascii_digit() || c == '#');
    match rest.split_once("] ") {
        Some((level, words)) => match words.split_once(": ") {
            Some((who, words)) if numbers(who) => format!("[{level}] {words}"),
            _ => format!("[{level}] {words}"),
        },
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Vec<String> {
        complaints(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn what_nginx_says_twice_is_told_once() {
        let once = "nginx: [emerg] unknown directive \"foo\" in /etc/nginx/nginx.conf.staged:58";
        let failed = "nginx: configuration file /etc/nginx/nginx.conf.staged test failed";
        let again = "2026/11/29 12:00:00 [emerg] 17#17: unknown directive \"foo\" in \
                     /etc/nginx/nginx.conf.staged:58";
        assert_eq!(told(&[again, once, failed]), [again, failed]);
        assert_eq!(told(&[once, again, failed]), [once, failed]);
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
