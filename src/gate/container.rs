//! A container gate: run the test image to its end on the CI engine.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};

use super::environment::variables;
use super::{Bounds, junit};
use crate::deploy::ports::{GateContext, GateError, JunitFile, Output, PortError, Trouble};
use crate::docker::{Attached, Client, Container, Ending, Error, Exit, ImageError};
use crate::model::{ContainerCheck, labels};

/// Where a test container may put JUnit files. It is made before the start, writable for any user.
const JUNIT: &str = "/junit";

/// What is printed last may come a moment after the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Exit code of a process that was killed, by the engine for want of memory among others.
const KILLED: i64 = 137;

pub async fn run(
    ci: &Client,
    gate: &str,
    check: &ContainerCheck,
    context: &GateContext,
    output: Output<'_>,
    bounds: &Bounds<'_>,
) -> Result<Vec<JunitFile>, GateError> {
    let operation = format!("run the test container `{}`", check.image);
    let not_run = |error: Error| GateError::NotRun(error.during(&operation));
    let network_mode = network_mode(check)?;
    let wanted = async {
        let image = obtain(ci, check, output).await?;
        let environment = variables(context, &check.env, JUNIT).await?;
        let labels = labels_of(gate, context);
        Ok::<_, GateError>(specification(image, check, &environment, labels, network_mode))
    };
    let wanted = Box::pin(bounds.hold(wanted)).await??;
    // This is not cut off: the engine would make it all the same, and nobody would take it away.
    let scrap = Scrap::new(ci.create_container(wanted).await.map_err(not_run)?);
    let exit = Box::pin(bounds.hold(exercise(ci, &scrap.container, check, output))).await;
    let verdict = match exit.and_then(|ended| ended.map_err(not_run)) {
        Ok(exit) => judge(&scrap.container, exit, output).await,
        Err(error) => Err(error),
    };
    let removed = scrap.remove().await.map_err(not_run);
    let files = verdict?;
    removed.map(|()| files)
}

/// The image by a name that cannot mean another one when it runs: as its registry of images has it,
/// fetched if need be. One that was only ever built on the engine is taken as it is.
async fn obtain(
    ci: &Client,
    check: &ContainerCheck,
    output: Output<'_>,
) -> Result<String, PortError> {
    let operation = || format!("get the test image `{}`", check.image);
    let local = ci.local_image(&check.image).await.map_err(|error| error.during(operation()))?;
    if let Some(local) = local.as_ref().filter(|local| local.was_never_pushed()) {
        return Ok(local.id.clone());
    }
    let pinned = match (ci.pin(&check.image).await, &local) {
        (Ok(pinned), _) => pinned,
        (Err(ImageError::Cut { registry, .. }), Some(local)) => {
            output(&format!("`{registry}` cannot be reached: the image fetched earlier is used"));
            return Ok(local.id.clone());
        }
        (Err(error), _) => return Err(error.during(operation())),
    };
    let here = local.is_some_and(|local| local.is(&pinned))
        || ci.has_image(&pinned).await.map_err(|error| error.during(operation()))?;
    if !here {
        output(&format!("fetching {pinned}"));
        ci.pull(&pinned).await.map_err(|error| error.during(operation()))?;
    }
    Ok(pinned.reference())
}

fn network_mode(check: &ContainerCheck) -> Result<&'static str, GateError> {
    if !check.networks.iter().any(|name| name == "host") {
        return Ok("default");
    }
    if check.networks.len() == 1 {
        return Ok("host");
    }
    let operation = format!("run the test container `{}`", check.image);
    let error = PortError::new(Trouble::Invalid, operation)
        .because("its `networks` name `host` beside others")
        .remedy("with the engine's own network, it can join no other");
    Err(error.into())
}

fn labels_of(gate: &str, context: &GateContext) -> HashMap<String, String> {
    let labels = [
        (labels::MANAGED_BY, labels::VERDIGRIS.to_owned()),
        (labels::SERVICE, context.release.service.to_string()),
        (labels::DEPLOYMENT, context.deployment.to_string()),
        (labels::GATE, gate.to_owned()),
    ];
    labels.map(|(name, value)| (name.to_owned(), value)).into()
}

fn specification(
    image: String,
    check: &ContainerCheck,
    environment: &BTreeMap<String, String>,
    labels: HashMap<String, String>,
    network_mode: &str,
) -> ContainerCreateBody {
    let environment = environment.iter().map(|(name, value)| format!("{name}={value}"));
    ContainerCreateBody {
        image: Some(image),
        env: Some(environment.collect()),
        labels: Some(labels),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        entrypoint: check.entrypoint.clone(),
        cmd: check.command.clone(),
        host_config: Some(HostConfig {
            network_mode: Some(network_mode.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Start it, pass on what it prints, wait for its end.
async fn exercise(
    ci: &Client,
    container: &Container,
    check: &ContainerCheck,
    output: Output<'_>,
) -> Result<Exit, Error> {
    let others = check.networks.iter().filter(|name| *name != "host");
    let joining = futures_util::future::try_join_all(
        others.map(|name| ci.join_network(name, container.id())),
    );
    // Attached and watched before the start: nothing is missed, however short it runs.
    let (attached, ending, (), _) = tokio::try_join!(
        container.attach(),
        container.watch(),
        container.make_directory(JUNIT),
        joining
    )?;
    container.start().await?;
    listen(attached, ending, output).await
}

async fn listen(
    mut attached: Attached,
    mut ending: Ending,
    output: Output<'_>,
) -> Result<Exit, Error> {
    let say = |lines: Vec<String>| lines.iter().for_each(|line| output(line));
    let mut exit = None;
    let mut last_words = std::pin::pin!(tokio::time::sleep(LAST_WORDS));
    loop {
        tokio::select! {
            lines = attached.next() => match lines {
                Some(lines) => say(lines),
                None => break,
            },
            ended = &mut ending, if exit.is_none() => {
                exit = Some(ended?);
                last_words.as_mut().reset(tokio::time::Instant::now() + LAST_WORDS);
            }
            () = &mut last_words, if exit.is_some() => break,
        }
    }
    say(attached.finish());
    match exit {
        Some(exit) => Ok(exit),
        None => ending.await,
    }
}

async fn judge(
    container: &Container,
    exit: Exit,
    output: Output<'_>,
) -> Result<Vec<JunitFile>, GateError> {
    let junit = reports(container, output).await;
    if exit.code == 0 && exit.error.is_none() {
        return Ok(junit);
    }
    let mut reason = match exit.error {
        Some(error) => format!("exit code {}: {error}", exit.code),
        None => format!("exit code {}", exit.code),
    };
    if exit.code == KILLED && ran_out_of_memory(container).await {
        reason.push_str(": killed for want of memory");
    }
    Err(GateError::Failed { reason, junit })
}

async fn ran_out_of_memory(container: &Container) -> bool {
    let inspected = container.inspect().await;
    inspected.is_ok_and(|it| it.state.is_some_and(|state| state.oom_killed == Some(true)))
}

/// Reports that cannot be read are no reason for a verdict; they are mentioned.
async fn reports(container: &Container, output: Output<'_>) -> Vec<JunitFile> {
    let is_one = |path: &Path| path.starts_with(JUNIT) && junit::is_report(path);
    match container.changed().await {
        Ok(paths) if !paths.iter().any(|path| is_one(Path::new(path))) => return Vec::new(),
        // Where the engine cannot tell, look.
        Ok(_) | Err(_) => {}
    }
    let limit = usize::try_from(junit::LARGEST_SUM).unwrap_or(usize::MAX);
    let archive = match container.download(JUNIT, limit).await {
        Ok(Some(archive)) => archive,
        Ok(None) => return Vec::new(),
        Err(error) => {
            output(&format!("the JUnit files in {JUNIT} are left out: {error}"));
            return Vec::new();
        }
    };
    junit::from_archive(&archive).unwrap_or_else(|error| {
        output(&format!("the JUnit files in {JUNIT} are left out: {error}"));
        Vec::new()
    })
}

/// A container that is removed at the end, also when nobody waits for it any more.
struct Scrap {
    container: Container,
    removed: bool,
}

impl Scrap {
    fn new(container: Container) -> Self {
        Self { container, removed: false }
    }

    async fn remove(mut self) -> Result<(), Error> {
        let removed = self.container.remove().await;
        self.removed = true;
        removed
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        let container = self.container.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { container.remove().await });
        }
    }
}
