//! All proxies together, behind the port.

use std::future::Future;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};

use super::doctor;
use super::error::{Error, Result};
use super::install;
use super::keeper::{Change, Keeper, Staged};
use super::probe;
use super::secret;
use super::settings::Settings;
use crate::deploy::control::{Finding, Rendered};
use crate::deploy::ports::{Answers, Door, Idle, PortResult, Proxies, ProxyViews, Registry};
use crate::model::{Backend, Colour, ProxyStatus, RouteRule, ServiceName, ServiceView};

/// Every proxy with its keeper.
#[derive(Clone)]
pub struct Fleet {
    keepers: Vec<Keeper>,
}

impl Fleet {
    /// Start a keeper for each of `settings`. A proxy that does not run, or a template that is at
    /// fault, is reported by `status` and does not keep the others from starting. A keeper without
    /// memory begins with the services as `registry` has them.
    pub async fn start(settings: Vec<Settings>, registry: &dyn Registry) -> Result<Self, Error> {
        let keepers = settings.into_iter().map(|settings| Keeper::start(settings, registry));
        let keepers = try_join_all(keepers).await?;
        Ok(Self { keepers })
    }

    /// Each proxy as it is shown.
    #[must_use]
    pub fn status(&self) -> Vec<ProxyStatus> {
        self.keepers.iter().map(status).collect()
    }

    /// What each proxy has of each service that it knows.
    #[must_use]
    pub fn views(&self) -> Vec<ServiceView> {
        self.keepers.iter().flat_map(Keeper::views).collect()
    }

    /// The configuration of proxy `name` as its template renders it now, without the secret of its
    /// probes; nothing is changed. None when there is no such proxy.
    pub async fn render(&self, name: &str) -> Option<Rendered> {
        let keeper = self.keepers.iter().find(|keeper| keeper.settings().name == name)?;
        let (text, differs, problem) = match keeper.render(false).await {
            Ok(rendered) => {
                let problem = rendered.refused.map(|error| in_full(&error));
                (Some(rendered.rendition.text), rendered.differs, problem)
            }
            Err(error) => (None, true, Some(in_full(&error))),
        };
        // A file that cannot be read is a problem that `status` tells; here there is none to show.
        let current = install::read(&keeper.settings().output).await.ok().flatten();
        let shown = |text: String| secret::concealed(&text, keeper.secret());
        let (text, current) = (text.map(shown), current.map(shown));
        Some(Rendered { proxy: name.to_owned(), text, current, differs, problem })
    }

    /// What an operator should know: is everything there that deployments need?
    pub async fn findings(&self) -> Vec<Finding> {
        join_all(self.keepers.iter().map(doctor::findings)).await.concat()
    }

    async fn put(
        &self,
        view: &ServiceView,
        colour: Colour,
        backends: &[Backend],
        staged: Staged,
    ) -> PortResult<()> {
        let what = format!("stage `{}` as {colour}", view.service);
        let put = self.each(&what, |keeper| {
            let (view, backends) = (view.clone(), backends.to_vec());
            keeper.change(Change::Stage { view, colour, backends, what: staged })
        });
        put.await.map(drop)
    }

    /// Do `act` on every proxy at once; the first failure, by the order of the configuration, counts.
    async fn each<'a, T, F>(
        &'a self,
        what: &str,
        act: impl Fn(&'a Keeper) -> F,
    ) -> PortResult<Vec<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let named = self.keepers.iter().map(|keeper| {
            let done = act(keeper);
            async move {
                let name = &keeper.settings().name;
                let operation = || format!("{what} in proxy `{name}`");
                done.await.map_err(|error| error.into_port(operation()))
            }
        });
        join_all(named).await.into_iter().collect()
    }
}

/// An error with its details, a line each.
fn in_full(error: &Error) -> String {
    let mut lines = vec![error.chain()];
    lines.extend(error.details());
    lines.join("\n")
}

/// That a proxy goes by another template than the one saved, and why.
fn without_saved(keeper: &Keeper) -> Option<String> {
    let problem = keeper.report().problem("template")?;
    let why = problem.lines().next().unwrap_or_default();
    Some(format!("proxy `{}` goes by its last good template: {why}", keeper.settings().name))
}

fn status(keeper: &Keeper) -> ProxyStatus {
    let settings = keeper.settings();
    let problems = keeper.report().problems();
    let notice = keeper.report().last_notice();
    let problem = (!problems.is_empty()).then(|| problems.join("\n")).or(notice);
    ProxyStatus {
        name: settings.name.clone(),
        kind: settings.kind.to_string(),
        in_sync: problems.is_empty() && keeper.report().agreed(),
        reloads: keeper.report().reloads(),
        problem,
    }
}

#[async_trait]
impl Proxies for Fleet {
    async fn snapshot(&self, service: &ServiceName) -> PortResult<ProxyViews> {
        let view = |keeper: &Keeper| (keeper.settings().name.clone(), keeper.view(service));
        Ok(self.keepers.iter().map(view).collect())
    }

    async fn stage(
        &self,
        view: &ServiceView,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<()> {
        self.put(view, colour, backends, Staged::New).await
    }

    async fn restage(
        &self,
        view: &ServiceView,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<Vec<String>> {
        self.put(view, colour, backends, Staged::Earlier).await?;
        Ok(self.keepers.iter().filter_map(without_saved).collect())
    }

    async fn obstacles(&self, rule: &RouteRule, new: bool) -> Vec<String> {
        let found = self.keepers.iter().map(async |keeper| {
            let name = &keeper.settings().name;
            let obstacles = keeper.obstacles(rule, new).await.into_iter();
            obstacles.map(|obstacle| format!("proxy `{name}`: {obstacle}")).collect::<Vec<_>>()
        });
        join_all(found).await.concat()
    }

    async fn idle(&self, service: &ServiceName) -> Vec<Option<Idle>> {
        join_all(self.keepers.iter().map(|keeper| keeper.idle(service))).await
    }

    async fn flip(&self, service: &ServiceName, to: Colour, generation: u64) -> PortResult<()> {
        let what = format!("move `{service}` to {to}");
        let flipped = self.each(&what, |keeper| keeper.flip(service, to, generation));
        flipped.await.map(drop)
    }

    async fn restore(&self, service: &ServiceName, before: &ProxyViews) -> PortResult<()> {
        let what = format!("restore `{service}`");
        let restored = self.each(&what, |keeper| {
            // A proxy that was not there then keeps what it has.
            let before = before.get(&keeper.settings().name).cloned();
            async move {
                match before {
                    Some(before) => {
                        let service = service.clone();
                        keeper.change(Change::Restore { service, before }).await
                    }
                    None => Ok(()),
                }
            }
        });
        restored.await.map(drop)
    }

    async fn retire(&self, service: &ServiceName, colour: Colour) -> PortResult<()> {
        let what = format!("retire `{service}` as {colour}");
        let retired = self.each(&what, |keeper| {
            let service = service.clone();
            keeper.change(Change::Retire { service, colour })
        });
        retired.await.map(drop)
    }

    async fn refresh(
        &self,
        service: &ServiceName,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<()> {
        let what = format!("refresh `{service}` as {colour}");
        let refreshed = self.each(&what, |keeper| {
            keeper.change(Change::Refresh {
                service: service.clone(),
                colour,
                backends: backends.to_vec(),
            })
        });
        refreshed.await.map(drop)
    }

    async fn drained(&self, service: &ServiceName, colour: Colour) -> PortResult<()> {
        let what = format!("see whether `{service}` as {colour} is drained");
        let drained = self.each(&what, |keeper| keeper.drained(service, colour));
        drained.await.map(drop)
    }

    async fn answers(&self, service: &ServiceName, colour: Colour) -> PortResult<Answers> {
        let what = format!("count answers of `{service}` as {colour}");
        let answers = self.each(&what, |keeper| keeper.answers(service, colour)).await?;
        Ok(answers.into_iter().fold(Answers::default(), |sum, one| Answers {
            total: sum.total + one.total,
            errors: sum.errors + one.errors,
        }))
    }

    fn doors(&self) -> Vec<Door> {
        self.keepers.iter().map(door).collect()
    }
}

fn door(keeper: &Keeper) -> Door {
    let settings = keeper.settings();
    Door {
        proxy: settings.name.clone(),
        http: settings.http_door(),
        https: settings.https_door(),
        ca: settings.ca.clone(),
        probe: Some((probe::HEADER.to_owned(), keeper.secret().to_owned())),
    }
}
