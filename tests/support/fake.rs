//! The daemon's inside, played from a script.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use verdigris::deploy::control::{Control, Finding, Refusal, RefusalKind, Rendered, Submitted};
use verdigris::model::{
    DeploymentId, DeploymentView, Event, Failure, FailureKind, Happening, Kind, Outcome, Phase,
    Plan, Request, ServiceName, Status, Step, StepState, StepView,
};

/// One scripted event, and how long before it nothing happens.
#[derive(Debug, Clone)]
pub struct Scene {
    pub pause: Duration,
    pub step: Option<Step>,
    pub what: Happening,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Submit(Box<Request>),
    Plan(Box<Request>),
    Abort { id: DeploymentId, by: String, why: String },
    Approve { id: DeploymentId, by: String },
    Reject { id: DeploymentId, by: String, why: String },
    Retry { id: DeploymentId, by: String },
}

#[derive(Default)]
pub struct State {
    pub deployments: BTreeMap<DeploymentId, Entry>,
    pub status: Status,
    pub findings: Vec<Finding>,
    pub rendered: Vec<Rendered>,
    pub plan: Option<Plan>,
    /// Every submission and act is refused with this.
    pub refusal: Option<Refusal>,
    /// What a submitted deployment plays.
    pub script: Vec<Scene>,
    /// Abort is taken, but nothing comes of it.
    pub deaf: bool,
    /// Submissions attach to this one.
    pub attach: Option<DeploymentId>,
    pub panic_on_doctor: bool,
    /// How long a submission is thought about.
    pub think: Duration,
    /// The doctor never comes back.
    pub hang_on_doctor: bool,
    calls: Vec<Call>,
}

pub struct Entry {
    pub view: DeploymentView,
    pub events: Vec<Event>,
}

pub struct Fake {
    state: Mutex<State>,
    news: broadcast::Sender<Event>,
    called: watch::Sender<usize>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            news: broadcast::channel(10_000).0,
            called: watch::channel(0).0,
        }
    }
}

impl Fake {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// `what` happens in deployment `id`.
    pub fn tell(&self, id: DeploymentId, step: Option<Step>, what: Happening) {
        let mut state = self.state();
        let entry = state.deployments.get_mut(&id).unwrap();
        if entry.view.phase == Phase::Ended {
            return;
        }
        let seq = entry.events.len() as u64;
        let event = Event { seq, at: Timestamp::now(), deployment: id, step, what };
        fold(&mut entry.view, &event);
        entry.events.push(event.clone());
        let _ = self.news.send(event);
    }

    /// A deployment that is known and has not ended.
    pub fn open(&self, view: DeploymentView) -> DeploymentId {
        let id = view.id;
        self.state().deployments.insert(id, Entry { view, events: Vec::new() });
        self.tell(id, None, Happening::Opened);
        id
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Wait until a call that `wanted` accepts was made.
    pub async fn awaits(&self, wanted: impl Fn(&Call) -> bool) -> Call {
        let mut called = self.called.subscribe();
        let look = async {
            loop {
                if let Some(call) = self.calls().into_iter().find(&wanted) {
                    return call;
                }
                called.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), look).await.expect("the call was never made")
    }

    /// Wait until `count` streams follow or watch.
    pub async fn awaits_listeners(&self, count: usize) {
        let look = async {
            while self.news.receiver_count() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), look).await.expect("nobody listens");
    }

    fn note(&self, call: Call) -> Result<(), Refusal> {
        let mut state = self.state();
        state.calls.push(call);
        let refusal = state.refusal.clone();
        drop(state);
        self.called.send_modify(|calls| *calls += 1);
        refusal.map_or(Ok(()), Err)
    }

    fn known(&self, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        let state = self.state();
        let entry = state.deployments.get(&id);
        entry.map(|entry| entry.view.clone()).ok_or_else(|| {
            Refusal::new(RefusalKind::Unknown, format!("there is no deployment `{id}`"))
        })
    }

    fn revert(&self, id: DeploymentId, kind: FailureKind, message: &str) {
        let failure = Failure {
            step: Step::Prepare,
            kind,
            message: message.to_owned(),
            details: vec![],
            remedy: None,
        };
        self.tell(id, None, Happening::Stopped { failure: failure.clone() });
        self.tell(id, None, Happening::Ended { outcome: Outcome::Reverted { failure } });
    }
}

/// Enough of the real fold for what the surfaces show.
fn fold(view: &mut DeploymentView, event: &Event) {
    let state = match &event.what {
        Happening::Began => StepState::Running,
        Happening::Done { .. } => StepState::Done,
        Happening::Skipped { .. } => StepState::Skipped,
        Happening::Failed { failure } => {
            view.failure = Some(failure.clone());
            view.phase = Phase::Reverting;
            StepState::Failed
        }
        Happening::Undoing => StepState::Undoing,
        Happening::Undone => StepState::Undone,
        Happening::Stuck { problem } => {
            let (failure, problem) = (view.failure.clone(), problem.clone());
            view.outcome = Some(Outcome::Stuck { failure, problem });
            StepState::Stuck
        }
        Happening::Stopped { failure } => {
            view.failure = Some(failure.clone());
            view.phase = Phase::Reverting;
            return;
        }
        Happening::Ended { outcome } => {
            view.outcome = Some(outcome.clone());
            view.phase = Phase::Ended;
            view.ended = Some(event.at);
            return;
        }
        _ => return,
    };
    let Some(step) = event.step else { return };
    if let (Step::Approve, StepState::Running) = (step, state) {
        view.phase = Phase::Waiting;
    }
    if let (Step::Commit, StepState::Done) = (step, state) {
        view.phase = Phase::Finishing;
    }
    let steps = &mut view.steps;
    let index = steps.iter().position(|known| known.step == step).unwrap_or_else(|| {
        steps.push(StepView { step, state, began: Some(event.at), ended: None });
        steps.len() - 1
    });
    steps[index].state = state;
    if state != StepState::Running {
        steps[index].ended = Some(event.at);
    }
}

/// The fake, as the API is given it.
pub struct Shared(pub std::sync::Arc<Fake>);

#[async_trait]
impl Control for Shared {
    async fn submit(&self, request: Request) -> Result<Submitted, Refusal> {
        let fake = self.0.clone();
        fake.note(Call::Submit(Box::new(request.clone())))?;
        let think = fake.state().think;
        tokio::time::sleep(think).await;
        if let Some(deployment) = fake.state().attach {
            return Ok(Submitted { deployment, attached: true });
        }
        let mut view = super::samples::view(request.service().as_str());
        view.by.clone_from(&request.by);
        view.sequence = request.sequence;
        view.kind = match request.kind {
            Kind::Deploy { .. } => "deploy".to_owned(),
            Kind::Rollback { .. } => "rollback".to_owned(),
        };
        let deployment = fake.open(view);
        let script = fake.state().script.clone();
        tokio::spawn(async move {
            for scene in script {
                tokio::time::sleep(scene.pause).await;
                fake.tell(deployment, scene.step, scene.what);
            }
        });
        Ok(Submitted { deployment, attached: false })
    }

    async fn plan(&self, request: Request) -> Result<Plan, Refusal> {
        self.0.note(Call::Plan(Box::new(request)))?;
        let plan = self.0.state().plan.clone();
        plan.ok_or_else(|| Refusal::new(RefusalKind::Internal, "the test has no plan"))
    }

    async fn abort(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.0.note(Call::Abort { id, by: by.to_owned(), why: why.to_owned() })?;
        let view = self.0.known(id)?;
        if matches!(view.phase, Phase::Finishing | Phase::Ended) {
            return Err(Refusal::new(RefusalKind::WrongState, "it has committed or ended"));
        }
        if !self.0.state().deaf {
            self.0.revert(id, FailureKind::Aborted, &format!("aborted by {by}: {why}"));
        }
        Ok(())
    }

    async fn approve(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        self.0.note(Call::Approve { id, by: by.to_owned() })?;
        self.0.tell(id, Some(Step::Approve), Happening::Approved { by: by.to_owned() });
        self.0.tell(id, Some(Step::Approve), Happening::Done { note: String::new() });
        self.0.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
        Ok(())
    }

    async fn reject(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.0.note(Call::Reject { id, by: by.to_owned(), why: why.to_owned() })?;
        self.0.revert(id, FailureKind::Approval, &format!("rejected by {by}: {why}"));
        Ok(())
    }

    async fn retry(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        self.0.note(Call::Retry { id, by: by.to_owned() })?;
        self.0.known(id).map(drop)
    }

    async fn deployment(&self, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        self.0.known(id)
    }

    async fn history(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        let state = self.0.state();
        let views = state.deployments.values().rev().map(|entry| entry.view.clone());
        let views = views.filter(|view| service.is_none_or(|service| view.service == *service));
        Ok(views.take(limit).collect())
    }

    async fn committed(
        &self,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        let mut views = self.history(Some(service), usize::MAX).await?;
        views.retain(|view| view.outcome == Some(Outcome::Committed));
        views.truncate(limit);
        Ok(views)
    }

    async fn stuck(&self) -> Result<Vec<DeploymentView>, Refusal> {
        let mut views = self.history(None, usize::MAX).await?;
        views.retain(|view| matches!(view.outcome, Some(Outcome::Stuck { .. })));
        Ok(views)
    }

    async fn events(&self, id: DeploymentId) -> Result<Vec<Event>, Refusal> {
        self.0.known(id)?;
        Ok(self.0.state().deployments[&id].events.clone())
    }

    async fn follow(
        &self,
        id: DeploymentId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Event>, Refusal> {
        self.0.known(id)?;
        let state = self.0.state();
        let past = state.deployments[&id].events.clone();
        let coming = BroadcastStream::new(self.0.news.subscribe());
        drop(state);
        let coming = coming.filter_map(|event| std::future::ready(event.ok()));
        let all = stream::iter(past)
            .chain(coming.filter(move |event| std::future::ready(event.deployment == id)));
        let new = all
            .filter(move |event| std::future::ready(after.is_none_or(|after| event.seq > after)));
        Ok(new.boxed())
    }

    fn watch(&self) -> BoxStream<'static, Event> {
        let news = BroadcastStream::new(self.0.news.subscribe());
        news.filter_map(|event| std::future::ready(event.ok())).boxed()
    }

    fn news(&self) -> BoxStream<'static, Event> {
        self.watch()
    }

    async fn status(&self, service: Option<&ServiceName>) -> Result<Status, Refusal> {
        let mut status = self.0.state().status.clone();
        if let Some(service) = service {
            status.services.retain(|status| status.service == *service);
            if status.services.is_empty() {
                let message = format!("there is no service `{service}`");
                return Err(Refusal::new(RefusalKind::Unknown, message));
            }
        }
        Ok(status)
    }

    async fn render(&self, proxy: &str) -> Result<Rendered, Refusal> {
        let state = self.0.state();
        let found = state.rendered.iter().find(|rendered| rendered.proxy == proxy);
        found.cloned().ok_or_else(|| {
            Refusal::new(RefusalKind::Unknown, format!("there is no proxy `{proxy}`"))
        })
    }

    async fn doctor(&self) -> Vec<Finding> {
        let (findings, panics, hangs) = {
            let state = self.0.state();
            (state.findings.clone(), state.panic_on_doctor, state.hang_on_doctor)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        assert!(!panics, "the doctor has a secret defect");
        findings
    }
}
