//! The proxies: what each holds, what it has read, and how it may restart with neither.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use verdigris::deploy::ports::{
    Answers, Door, Idle, PortError, PortResult, Proxies, ProxyViews, Trouble,
};
use verdigris::model::{Backend, Colour, RouteRule, ServiceName, ServiceView};

use super::{Commit, Sim, Truth};

/// What a proxy has of each service.
pub type Views = BTreeMap<ServiceName, ServiceView>;

/// One proxy, with the keeper before it.
#[derive(Debug, Default)]
pub struct SimProxy {
    /// What its keeper holds, and answers when it is asked.
    held: Views,
    /// What it has read: requests are led by it.
    running: Views,
    /// What was held before, oldest first.
    past: Vec<Views>,
    /// It went back to an earlier state that its keeper takes for the truth.
    misled: bool,
    /// What it has of services from that state, of which no daemon has acted on it since.
    put_back: Views,
    /// What some of its processes lead by, where an act was done half.
    pub(super) stray: Option<Views>,
}

impl SimProxy {
    pub fn held(&self) -> &Views {
        &self.held
    }

    pub fn running(&self) -> &Views {
        &self.running
    }

    /// What its processes lead by.
    pub fn leads(&self) -> impl Iterator<Item = &Views> {
        [Some(&self.running), self.stray.as_ref()].into_iter().flatten()
    }

    /// It restarted with an earlier state, and its keeper has not noticed, or cannot.
    pub fn is_astray(&self) -> bool {
        self.held != self.running || self.misled
    }

    /// Its keeper takes that state for the truth.
    pub fn is_misled(&self) -> bool {
        self.misled
    }

    /// What it has of `service` is what the world gave it back: nobody has acted on it since.
    pub fn was_put_back(&self, service: &ServiceName) -> bool {
        let given = self.put_back.get(service);
        given.is_some() && given == self.held.get(service)
    }

    /// Its keeper itself knows where it leads.
    pub fn is_known(&self) -> bool {
        self.held == self.running
    }

    /// It is where it should be again, if it leads to what was committed.
    pub fn is_back(&mut self, committed: &BTreeMap<ServiceName, Commit>) {
        let leads = |service| self.running.get(service).and_then(|view| view.live);
        let right = |(service, commit): (_, &Commit)| leads(service) == Some(commit.colour);
        self.misled &= !committed.iter().all(right);
    }

    /// A keeper makes the whole proxy agree with each change.
    pub(super) fn change(
        &mut self,
        act: impl FnOnce(&mut Views) -> PortResult<()>,
    ) -> PortResult<()> {
        let before = self.held.clone();
        act(&mut self.held)?;
        if before != self.held {
            self.past.push(before);
        }
        self.agree();
        Ok(())
    }

    /// Its keeper makes all of it agree with what it holds.
    pub(super) fn agree(&mut self) {
        self.running = self.held.clone();
        self.stray = None;
    }
}

/// What a refusing proxy does with the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It does nothing.
    Refused,
    /// It does it, and says that it did not.
    Denied,
    /// It does it half.
    Half,
}

/// One kind of act that proxies refuse.
#[derive(Debug, Clone)]
pub struct Stubborn {
    pub what: &'static str,
    /// The one that does; none: each.
    pub proxy: Option<&'static str>,
    pub answer: Answer,
    /// Until when; none: for ever.
    pub until: Option<Instant>,
}

impl Truth {
    fn stubbornness(&self, what: &str, proxy: &str) -> Option<Answer> {
        let found = self.stubborn.iter().find(|stubborn| {
            stubborn.what == what
                && stubborn.proxy.is_none_or(|name| name == proxy)
                && stubborn.until.is_none_or(|until| Instant::now() < until)
        });
        found.map(|stubborn| stubborn.answer)
    }

    fn act_on_proxy(
        &mut self,
        what: &str,
        name: &str,
        silent: &mut Option<Instant>,
        act: impl FnOnce(&mut Views) -> PortResult<()>,
    ) -> PortResult<()> {
        let half = self.halves().then_some(Answer::Half);
        let answer = self.stubbornness(what, name).or(half);
        match answer {
            Some(Answer::Refused) => return Err(refusal(what)),
            Some(Answer::Half) => return self.act_half(what, name, silent, act),
            Some(Answer::Denied) | None => {}
        }
        self.proxies.get_mut(name).expect("it is there").change(act)?;
        answer.map_or(Ok(()), |_| Err(refusal(what)))
    }
}

fn refusal(what: &str) -> PortError {
    let mut error = PortError::new(Trouble::Invalid, what);
    error.details = vec!["[emerg] unexpected end of file".to_owned()];
    error
}

/// How often a keeper looks at its proxy: as `LOOK_EVERY` of the real one says.
pub(super) const KEEPER_LOOKS: Duration = Duration::from_secs(5);

impl Sim {
    /// A proxy restarts with files of an earlier state, until its keeper looks.
    pub fn restart_with_old_files(&self) {
        let mut truth = self.truth();
        let name = truth.send_back(false);
        name.iter().for_each(|name| self.let_keeper_look(&mut truth, name));
    }

    /// The keeper of the proxy `name` looks at it, within its time.
    fn let_keeper_look(&self, truth: &mut Truth, name: &str) {
        let longest = u64::try_from(KEEPER_LOOKS.as_millis()).expect("few");
        let wait = Duration::from_millis(truth.rng.u64(1..longest));
        let (sim, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let mut truth = sim.truth();
            truth.proxies.get_mut(&name).expect("it is there").agree();
            truth.look("a keeper's look");
        });
    }

    /// A proxy goes back to an earlier state together with all that its keeper knows.
    pub fn restore_from_backup(&self) {
        let _ = self.truth().send_back(true);
    }

    /// Act on each proxy by itself, whatever the others answer: a fault may leave them different.
    async fn on_each_proxy(
        &self,
        what: &str,
        service: &ServiceName,
        act: impl Fn(&str, &mut Views) -> PortResult<()> + Send + Sync,
    ) -> PortResult<()> {
        let mut names: Vec<String> = self.truth().proxies.keys().cloned().collect();
        self.truth().rng.shuffle(&mut names);
        let mut all = Ok(());
        let mut silent = None;
        // It is sent to all of them at once.
        self.wait_out_the_pause().await;
        for name in names {
            let one = self.act_sent(what, true, |truth| {
                truth.examine_act(self.daemon, what, service);
                let done = truth.act_on_proxy(what, &name, &mut silent, |views| act(&name, views));
                if done.is_ok() {
                    let proxy = truth.proxies.get_mut(&name).expect("it is there");
                    proxy.put_back.remove(service);
                }
                if truth.proxies[&name].stray.is_some() {
                    self.let_keeper_look(truth, &name);
                }
                done
            });
            all = all.and(one.await);
            if let Some(until) = silent {
                tokio::time::sleep_until(until).await;
            }
        }
        self.wait_out_the_pause().await;
        if let (Err(error), Some(_)) = (&all, silent) {
            // It is told only now.
            self.truth().faults.refuse(what, error.trouble);
        }
        all
    }
}

impl Truth {
    /// One proxy goes back to a state in which it had led somewhere; answers which.
    fn send_back(&mut self, keeper_too: bool) -> Option<String> {
        let names: Vec<String> = self.proxies.keys().cloned().collect();
        let name = self.rng.choice(names)?;
        let proxy = self.proxies.get_mut(&name).expect("it is there");
        let led = |views: &&Views| views.values().any(|view| view.live.is_some());
        let old: Vec<Views> = proxy.past.iter().filter(led).cloned().collect();
        proxy.running = self.rng.choice(old)?;
        proxy.stray = None;
        if keeper_too {
            proxy.held = proxy.running.clone();
            proxy.misled = true;
            proxy.put_back = proxy.held.clone();
        }
        self.flights.drop_those_through(&name);
        self.faults.trouble();
        self.look("a proxy's restart");
        Some(name)
    }
}

fn stage(views: &mut Views, view: &ServiceView, colour: Colour, new: &[Backend]) {
    let had = views.entry(view.service.clone()).or_insert_with(|| view.clone());
    if had.live.is_none() {
        had.live = view.live;
    }
    if let Some(live) = had.live.filter(|live| had.of(*live).is_empty()) {
        had.backends.insert(live, view.of(live).to_vec());
    }
    had.backends.insert(colour, new.to_vec());
}

fn flip(views: &mut Views, service: &ServiceName, to: Colour, generation: u64) -> PortResult<()> {
    let staged = views.get_mut(service).filter(|view| !view.of(to).is_empty());
    let view = staged.ok_or_else(|| refusal("flip to a colour without instances"))?;
    view.live = Some(to);
    view.generation = generation;
    Ok(())
}

fn restore(views: &mut Views, service: &ServiceName, before: Option<&ServiceView>) {
    let Some(before) = before else {
        views.remove(service);
        return;
    };
    let mut view = before.clone();
    let now = view.live.and_then(|live| Some((live, views.get(service)?.of(live).to_vec())));
    if let Some((live, now)) = now.filter(|(_, now)| !now.is_empty()) {
        view.backends.insert(live, now);
    }
    views.insert(service.clone(), view);
}

#[async_trait]
impl Proxies for Sim {
    async fn snapshot(&self, service: &ServiceName) -> PortResult<ProxyViews> {
        self.act("snapshot the proxies", |truth| {
            let proxies = truth.proxies.iter();
            let view = |proxy: &SimProxy| proxy.held.get(service).cloned();
            Ok(proxies.map(|(name, proxy)| (name.clone(), view(proxy))).collect())
        })
        .await
    }

    async fn stage(&self, view: &ServiceView, colour: Colour, new: &[Backend]) -> PortResult<()> {
        self.on_each_proxy("stage", &view.service, |_, views| {
            stage(views, view, colour, new);
            Ok(())
        })
        .await
    }

    /// Its keepers have a template that is good, though one that is not may have been saved.
    async fn restage(
        &self,
        view: &ServiceView,
        colour: Colour,
        new: &[Backend],
    ) -> PortResult<Vec<String>> {
        self.on_each_proxy("restage", &view.service, |_, views| {
            stage(views, view, colour, new);
            Ok(())
        })
        .await?;
        let refuses = |stubborn: &Stubborn| stubborn.what == "stage";
        let bad = self.truth().stubborn.iter().any(refuses);
        Ok(bad.then(|| "a proxy goes by its last good template".to_owned()).into_iter().collect())
    }

    async fn obstacles(&self, _: &RouteRule, new: bool) -> Vec<String> {
        let refuses = |stubborn: &Stubborn| stubborn.what == "stage" && new;
        let bad = self.truth().stubborn.iter().any(refuses);
        bad.then(|| "a proxy: the template is not good".to_owned()).into_iter().collect()
    }

    async fn idle(&self, service: &ServiceName) -> Vec<Option<Idle>> {
        let found = self.act("ask for what is idle", |truth| {
            let of = |views: &Views| {
                let view = views.get(service)?;
                let colour = view.live?.other();
                let (rule, backends) = (view.rule.clone(), view.of(colour).to_vec());
                truth.any_serves(&backends).then_some(Idle { colour, rule, backends })
            };
            let idle = |proxy: &SimProxy| {
                let held = of(&proxy.held)?;
                proxy.leads().all(|views| of(views).as_ref() == Some(&held)).then_some(held)
            };
            Ok(truth.proxies.values().map(idle).collect())
        });
        found.await.unwrap_or_else(|_| vec![None])
    }

    async fn flip(&self, service: &ServiceName, to: Colour, generation: u64) -> PortResult<()> {
        let serving = self.truth().serving(&service.swarm_name(to));
        self.on_each_proxy("flip", service, |_, views| {
            // A keeper that was put back has other instances than those that were staged: not proved.
            let proved = |view: &ServiceView| {
                view.of(to).iter().any(|backend| serving.contains(&backend.task))
            };
            if !views.get(service).is_some_and(proved) {
                return Err(refusal("flip"));
            }
            flip(views, service, to, generation)
        })
        .await
    }

    async fn restore(&self, service: &ServiceName, before: &ProxyViews) -> PortResult<()> {
        self.on_each_proxy("restore a proxy", service, |name, views| {
            if let Some(before) = before.get(name) {
                restore(views, service, before.as_ref());
            }
            Ok(())
        })
        .await
    }

    async fn retire(&self, service: &ServiceName, colour: Colour) -> PortResult<()> {
        self.on_each_proxy("retire", service, |_, views| {
            if let Some(view) = views.get_mut(service).filter(|view| view.live != Some(colour)) {
                view.backends.remove(&colour);
            }
            Ok(())
        })
        .await
    }

    async fn refresh(
        &self,
        service: &ServiceName,
        colour: Colour,
        new: &[Backend],
    ) -> PortResult<()> {
        self.on_each_proxy("refresh", service, |_, views| {
            let Some(view) = views.get_mut(service) else { return Ok(()) };
            if !new.is_empty() {
                view.backends.insert(colour, new.to_vec());
            } else if view.live != Some(colour) {
                view.backends.remove(&colour);
            }
            Ok(())
        })
        .await
    }

    async fn drained(&self, service: &ServiceName, colour: Colour) -> PortResult<()> {
        let endless = self.act("drain", |truth| {
            truth.drains += 1;
            Ok(truth.in_flight)
        });
        if endless.await? {
            std::future::pending::<()>().await;
        }
        loop {
            let over = self.act("drain", |truth| Ok(truth.flights.over(service, colour))).await?;
            let Some(over) = over else { return Ok(()) };
            tokio::time::sleep_until(over).await;
        }
    }

    async fn answers(&self, _: &ServiceName, _: Colour) -> PortResult<Answers> {
        self.act("count answers", |_| Ok(Answers::default())).await
    }

    fn doors(&self) -> Vec<Door> {
        Vec::new()
    }
}
