use std::env;

use clap::Args;

/// Who asks.
#[derive(Debug, Args)]
pub(super) struct Who {
    /// Who asks, for the log [default: the Jenkins build, else USER@HOST]
    #[arg(long, env = "VERDIGRIS_BY", value_name = "NAME")]
    by: Option<String>,
}

impl Who {
    /// The name to send.
    pub(super) fn name(&self) -> String {
        let known = self.by.clone().or_else(|| env::var("BUILD_TAG").ok());
        known.filter(|name| !name.trim().is_empty()).unwrap_or_else(user_at_host)
    }
}

fn user_at_host() -> String {
    let user = user();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => user,
        host => format!("{user}@{host}"),
    }
}

/// Jobs often run without `USER`; then the system's list of users knows, or there is but a number.
fn user() -> String {
    let told = env::var("USER").or_else(|_| env::var("LOGNAME")).ok();
    told.filter(|user| !user.is_empty()).unwrap_or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        name_of(uid, &users).unwrap_or_else(|| format!("uid-{uid}"))
    })
}

/// The name in a line `name:password:uid:…`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn users_are_found_by_their_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\njane:x:1000:1000::/home/jane:/bin/sh\n";
        assert_eq!(name_of(1000, users).unwrap(), "jane");
        assert_eq!(name_of(0, users).unwrap(), "root");
        assert_eq!(name_of(7, users), None);
    }
}
