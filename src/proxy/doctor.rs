//! What an operator should know of a proxy: is everything there that deployments need?

mod doors;
mod rehearsal;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::apart::apart;
use super::certificates::Certificates;
use super::error::Error;
use super::keeper::Keeper;
use super::probe;
use super::settings::{Kind, Settings};
use crate::deploy::control::{Finding, Severity};

pub use rehearsal::rehearse;

/// A certificate that expires sooner is worth a warning.
const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 14);

/// Look at everything that `keeper` needs.
pub(crate) async fn findings(keeper: &Keeper) -> Vec<Finding> {
    let settings = keeper.settings();
    let mut doctor = Doctor { subject: format!("proxy {}", settings.name), found: Vec::new() };
    doctor.configuration(keeper).await;
    let runs = doctor.running(keeper).await;
    doctor.doors(keeper, runs).await;
    doctor.certificates(settings).await;
    if let (Kind::Nginx, Some(flags)) = (settings.kind, &settings.flags) {
        doctor.flags(settings, flags);
    }
    for problem in keeper.report().problems() {
        doctor.bad(problem, None);
    }
    if doctor.found.is_empty() {
        doctor.note(Severity::Good, "runs, and takes what it is given".to_owned(), None);
    }
    doctor.found
}

struct Doctor {
    subject: String,
    found: Vec<Finding>,
}

impl Doctor {
    fn note(&mut self, severity: Severity, message: String, remedy: Option<String>) {
        self.found.push(Finding { subject: self.subject.clone(), severity, message, remedy });
    }

    fn bad(&mut self, message: String, remedy: Option<String>) {
        // Problems known already are not found twice.
        if !self.found.iter().any(|finding| finding.message == message) {
            self.note(Severity::Bad, message, remedy);
        }
    }

    fn error(&mut self, error: &Error) {
        let mut lines = vec![error.chain()];
        lines.extend(error.details());
        self.bad(lines.join("\n"), error.remedy());
    }

    async fn configuration(&mut self, keeper: &Keeper) {
        match keeper.render(true).await {
            Ok(rendered) => {
                if let Some(error) = rendered.refused {
                    self.error(&error);
                }
            }
            Err(error) => self.error(&error),
        }
    }

    /// Whether it runs.
    async fn running(&mut self, keeper: &Keeper) -> bool {
        let settings = keeper.settings();
        let told = probe::generation(settings.status).await;
        match told {
            Ok(Some(_)) => {}
            Ok(None) => {
                let message = format!("{} tells no generation", settings.status);
                let remedy = "keep the `/generation` listener of the built-in template";
                self.bad(message, Some(remedy.to_owned()));
            }
            Err(error) => {
                self.error(&error);
                return keeper.serves().await;
            }
        }
        if let Err(error) = keeper.sees_proxy().await {
            self.error(&error);
        }
        true
    }

    async fn certificates(&mut self, settings: &Settings) {
        let Some(directory) = settings.certificates.clone() else {
            return;
        };
        let read = move || Certificates::of(&directory).map_err(|error| (directory, error));
        let certificates = match apart(read).await {
            Ok(Ok(certificates)) => certificates,
            Ok(Err((directory, error))) => {
                let directory = directory.display();
                let message = format!("cannot read certificates in `{directory}`: {error}");
                let remedy = "check `certificates` in the configuration";
                return self.bad(message, Some(remedy.to_owned()));
            }
            Err(error) => return self.error(&error),
        };
        let soon = (jiff::Timestamp::now() + SOON).as_second();
        for certificate in certificates.all.iter().filter(|c| c.expires < soon) {
            let when = jiff::Timestamp::from_second(certificate.expires).unwrap_or_default();
            let message = format!("the certificate `{}` expires at {when}", certificate.chain);
            self.note(Severity::Warning, message, Some("renew it".to_owned()));
        }
    }

    /// Every directory on the way to the flags must let the workers through: without that nginx takes
    /// every flag for absent, and says nothing.
    fn flags(&mut self, settings: &Settings, flags: &Path) {
        let Some(worker) = settings.pid_file.as_deref().and_then(super::nginx::worker_of) else {
            return;
        };
        let closed = flags.ancestors().find(|directory| !lets_through(directory, worker));
        if let Some(closed) = closed {
            let message = format!("nginx's workers cannot look into `{}`", closed.display());
            let remedy = format!("chmod o+x {}", closed.display());
            self.bad(message, Some(remedy));
        }
    }
}

/// A user and a group.
pub(crate) type Owner = (u32, u32);

fn lets_through(directory: &Path, (user, group): Owner) -> bool {
    let Ok(metadata) = fs::metadata(directory) else {
        return false;
    };
    let bit = match () {
        () if user == 0 => return true,
        () if metadata.uid() == user => 0o100,
        () if metadata.gid() == group => 0o010,
        () => 0o001,
    };
    metadata.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_closed_directory_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |mode| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            lets_through(directory.path(), (65534, 65534))
        };
        assert!(!mode(0o700));
        assert!(mode(0o711));
        assert!(lets_through(directory.path(), (0, 0)));
    }
}
