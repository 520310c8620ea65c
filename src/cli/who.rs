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
    let user = env::var("USER").or_else(|_| env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| "somebody".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => user,
        host => format!("{user}@{host}"),
    }
}
