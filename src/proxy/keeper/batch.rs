//! Changes done together, and apart where together does not work.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::change::Change;
use super::clerk::{Clerk, Reply};
use super::driver::addresses;
use super::plan::{Need, Plan};
use super::proof::{self, Claim};
use crate::proxy::error::{Error, Result};
use crate::proxy::routing::Entries;

/// A change and who waits for it.
pub(crate) struct Member {
    pub change: Change,
    pub reply: Reply<()>,
}

impl Member {
    /// Who does not wait any more does not need the answer.
    fn answer(self, answer: Result<()>) {
        let _ = self.reply.send(answer);
    }
}

impl Clerk {
    /// Do what is pending, unless it needs a reload that is not due yet.
    pub(super) async fn do_pending(&mut self) {
        let mut admitted = Vec::new();
        for member in std::mem::take(&mut self.pending) {
            match self.admit(&member.change).await {
                Ok(()) => admitted.push(member),
                Err(error) => member.answer(Err(error)),
            }
        }
        self.bring(admitted, true).await;
    }

    /// A restore moves the public requests back before anything else.
    async fn admit(&mut self, change: &Change) -> Result<()> {
        self.machine.admit(change)?;
        if let Change::Restore { service, before } = change {
            self.machine.flip_back(service, before.as_ref()).await?;
        }
        Ok(())
    }

    /// Make `batch` so, together; where that fails, in parts. `may_wait` puts it off until a reload is
    /// due.
    fn bring(&mut self, batch: Vec<Member>, may_wait: bool) -> BoxFuture<'_, ()> {
        async move {
            let mut entries = self.machine.entries().clone();
            let mut members = self.apply(batch, &mut entries);
            let Some(need) = members.iter().map(|member| member.change.need()).max() else {
                return;
            };
            let plan = match self.machine.plan(entries, need, false).await {
                Ok(plan) => plan,
                Err(error) => return self.bring_apart(members, error).await,
            };
            match self.wait_for(&plan) {
                Some(_) if may_wait => {
                    members.append(&mut self.pending);
                    self.pending = members;
                    return;
                }
                Some(due) => sleep_until(due).await,
                None => {}
            }
            match self.machine.execute(plan).await {
                Ok(()) => self.done(members, need),
                Err(error) => self.bring_apart(members, error).await,
            }
        }
        .boxed()
    }

    /// The changes that make sense, applied to `entries`; the others are answered.
    fn apply(&self, batch: Vec<Member>, entries: &mut Entries) -> Vec<Member> {
        let mut members = Vec::new();
        for member in batch {
            let mut tried = entries.clone();
            match member.change.apply(&mut tried) {
                Ok(notice) => {
                    let subject = format!("instances of {}", member.change.service());
                    self.machine.report.set(&subject, notice);
                    *entries = tried;
                    members.push(member);
                }
                Err(error) => member.answer(Err(error)),
            }
        }
        members
    }

    /// When the reload that `plan` needs is due, if that is not yet.
    pub(super) fn wait_for(&self, plan: &Plan) -> Option<Instant> {
        self.machine.next_reload().filter(|due| plan.reload && *due > Instant::now())
    }

    fn done(&mut self, members: Vec<Member>, need: Need) {
        self.settle_at = None;
        self.machine.report.set_agreed(true);
        if need == Need::All {
            self.machine.report.set("template", None);
        }
        self.show();
        for member in members {
            self.prove(member);
        }
    }

    /// Answer the caller, after a stage once an instance of the idle colour has answered through the
    /// proxy. The clerk does not wait for that.
    fn prove(&self, member: Member) {
        let Change::Stage { view, colour, .. } = &member.change else {
            return member.answer(Ok(()));
        };
        let entry = match self.machine.entry(&view.service) {
            Ok(entry) => entry,
            Err(error) => return member.answer(Err(error)),
        };
        let claim = Claim {
            targets: proof::targets(&self.machine.settings, &entry.view.rule),
            colour: Some(*colour),
            accept: addresses(entry, *colour),
        };
        let prober = self.machine.prober.clone();
        tokio::spawn(async move {
            member.answer(proof::prove(&prober, &claim, proof::STAGED).await);
        });
    }

    /// What keeps or restores is tried apart from what is new, then halves apart from each other. A
    /// single change, or one of many where none is to blame, gets the error.
    async fn bring_apart(&mut self, members: Vec<Member>, error: Error) {
        let is_new = |member: &Member| member.change.need() == Need::All;
        let (new, mut kept): (Vec<_>, Vec<_>) = members.into_iter().partition(is_new);
        let mut new = new;
        if !new.is_empty() && !kept.is_empty() {
            self.bring(kept, false).await;
            return self.bring(new, false).await;
        }
        new.append(&mut kept);
        if new.len() > 1 && error.may_be_one() {
            let second = new.split_off(new.len() / 2);
            self.bring(new, false).await;
            return self.bring(second, false).await;
        }
        let error = Arc::new(error);
        for member in new {
            member.answer(Err(Error::Shared(error.clone())));
        }
    }
}
