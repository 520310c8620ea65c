//! What goes wrong, and that nothing else does.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use verdigris::deploy::ports::{Proxies, Trouble};
use verdigris::model::Colour::{Blue, Green};
use verdigris::proxy::Kind;

use crate::backend::Instance;
use crate::client::{Load, get};
use crate::edited::{edited_world, problem, well};
use crate::world::{HOST, World, body, deploy, free_port, name, reloads, view, within, world};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_fails_though_the_check_passed(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let (world, path, text) = edited_world!(kind);
    // The second service brings a listener on a port that is taken, and the checker binds nothing.
    let taken = TcpListener::bind(free_port()).unwrap();
    let address = taken.local_addr().unwrap();
    let (before, listener) = match kind {
        Kind::Nginx => ("    # ---- private", format!("server {{ listen {address}; }}")),
        Kind::Haproxy => ("    http-request return status 404\n", format!("bind {address}")),
    };
    let bad = format!("{{% if services | length > 1 %}}{listener}{{% endif %}}\n{before}");
    assert!(text.contains(before));
    fs::write(&path, text.replace(before, &bad)).unwrap();
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let snapshot = fleet.snapshot(&name("other")).await.unwrap();
    let files = world.files();
    let load = Load::start(world.http(), HOST, 2, 2);
    let view = view("other", "other.example.com", None);
    let error = fleet.stage(&view, Blue, &[green.backend()]).await.unwrap_err();
    let expected = match kind {
        Kind::Nginx => "did not take the configuration over",
        Kind::Haproxy => "it is taken",
    };
    assert!(error.chain().contains(expected), "{}", error.chain());
    assert_eq!(world.files(), files);
    fleet.restore(&name("other"), &snapshot).await.unwrap();
    assert_eq!((world.files(), body(&world).await), (files, "blue".to_owned()));
    assert!(fleet.status()[0].in_sync, "{:?}", fleet.status());
    assert_eq!(load.stop().await.lost, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_is_not_reloaded_onto_a_taken_port() {
    let (world, path, text) = edited_world!(Kind::Haproxy);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let files = world.files();
    let load = Load::start(world.http(), HOST, 2, 2);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let bind = "    bind {{ proxy.status }}\n";
    fs::write(&path, text.replace(bind, &format!("{bind}    bind {address}\n"))).unwrap();
    let taken_problem = problem(&fleet, "it is taken").await;
    assert!(taken_problem.contains(&address.to_string()), "{taken_problem}");
    assert_eq!(world.files(), files);
    // What cannot be seen beforehand shows in the generation.
    let hidden = world.path("missing/x.sock");
    fs::write(&path, text.replace(bind, &format!("{bind}    bind {}\n", hidden.display())))
        .unwrap();
    problem(&fleet, "did not take the configuration over").await;
    assert_eq!(world.files(), files);
    assert_eq!(body(&world).await, "blue");
    fs::write(&path, &text).unwrap();
    within(20, well(&fleet)).await;
    let outcome = load.stop().await;
    // A reload that fails pauses HAProxy's listeners for two seconds, which nobody may lose by.
    assert_eq!(outcome.lost, Vec::<String>::new(), "of {}", outcome.sent);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_run(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let (files, snapshot) = (world.files(), fleet.snapshot(&name("books")).await.unwrap());
    world.stop_proxy();
    let staged = fleet.stage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    let error = staged.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreachable);
    assert!(error.remedy.is_some());
    assert_eq!(world.files(), files);
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(world.files(), files);
    assert!(!fleet.status()[0].in_sync);
    world.start_proxy();
    assert_eq!(body(&world).await, "blue");
    within(10, well(&fleet)).await;
    // It stops after the flip: the way back is in the files.
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    world.stop_proxy();
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(world.files(), files);
    world.start_proxy();
    assert_eq!(body(&world).await, "blue");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_starts_before_its_proxy(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let files = world.files();
    world.end(fleet).await;
    world.stop_proxy();
    fs::remove_file(&world.settings.output).unwrap();
    let fleet = world.fleet().await;
    let problem = fleet.status()[0].problem.clone().unwrap_or_default();
    assert_eq!(problem.matches("the proxy does not run").count(), 1, "{problem}");
    assert_eq!(world.files(), files, "it says how to come back");
    within(5, fleet.drained(&name("books"), Blue)).await.unwrap();
    world.start_proxy();
    assert_eq!(body(&world).await, "blue");
    within(10, well(&fleet)).await;
    assert_eq!(reloads(&fleet), 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_nobody_reaches_is_not_staged(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let mut nobody = blue.backend();
    nobody.address = free_port();
    let load = Load::start(world.http(), HOST, 1, 1);
    let staged = fleet.stage(&view("books", HOST, Some(Blue)), Green, &[nobody]).await;
    let error = staged.unwrap_err();
    assert!(error.chain().contains("from the proxy itself"), "{}", error.chain());
    // Even when it is flipped to, the public comes back.
    let flipped = fleet.flip(&name("books"), Green, 3).await.unwrap_err();
    assert!(flipped.chain().contains("not proved"), "{}", flipped.chain());
    assert_eq!(body(&world).await, "blue");
    drop(load);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_edit_is_put_right(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let files = world.files();
    let output = world.settings.output.clone();
    let edit = |output: &PathBuf| {
        let text = fs::read_to_string(output).unwrap();
        fs::write(output, text.replace("421", "418").replace("503", "418")).unwrap();
    };
    edit(&output);
    world.stop_proxy();
    world.start_proxy();
    problem(&fleet, "was changed by somebody else").await;
    assert_eq!(world.files(), files);
    assert_eq!(get(world.http(), "unknown.example.com", "/").await.unwrap().status, 421);
    // The same while no keeper runs.
    world.end(fleet).await;
    edit(&output);
    world.stop_proxy();
    world.start_proxy();
    assert_eq!(get(world.http(), "unknown.example.com", "/").await.unwrap().status, 418);
    let fleet = world.fleet().await;
    problem(&fleet, "was changed by somebody else").await;
    assert_eq!(world.files(), files);
    assert_eq!(get(world.http(), "unknown.example.com", "/").await.unwrap().status, 421);
    assert_eq!(reloads(&fleet), 1);
    assert!(fleet.status()[0].in_sync);
}

/// The configuration file is written before what is known of it: a keeper that is killed in between
/// must not take its own work for somebody else's.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_was_killed_knows_its_own_file(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let files = world.files();
    let state = world.path(&format!("state/proxy-edge-{kind}.json"));
    let known = fs::read(&state).unwrap();
    let other = view("other", "other.example.com", None);
    fleet.stage(&other, Blue, &[green.backend()]).await.unwrap();
    assert_ne!(world.files(), files);
    world.end(fleet).await;
    // As if it had been killed right before it wrote this.
    assert_ne!(fs::read(&state).unwrap(), known);
    fs::write(&state, known).unwrap();
    let fleet = world.fleet().await;
    assert_eq!(fleet.status()[0].problem, None);
    assert_eq!((world.files(), body(&world).await), (files, "blue".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_are_lost_come_back() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    fleet.retire(&name("books"), Blue).await.unwrap();
    let files = world.files();
    for entry in fs::read_dir(world.path("flags")).unwrap().flatten() {
        let green = entry.path();
        if green.extension().is_some_and(|colour| colour == "green") {
            fs::remove_file(&green).unwrap();
            fs::write(green.with_extension("blue"), "").unwrap();
        }
    }
    assert_eq!(body(&world).await, "blue");
    within(10, async {
        while world.files() != files {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(body(&world).await, "green");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_are_lost_while_nobody_looks_come_back() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    fleet.retire(&name("books"), Blue).await.unwrap();
    world.end(fleet).await;
    let flags = || fs::read_dir(world.path("flags")).unwrap().flatten();
    flags().for_each(|flag| fs::remove_file(flag.path()).unwrap());
    assert_eq!(body(&world).await, "blue", "what it was read with");
    let _fleet = world.fleet().await;
    assert_eq!(body(&world).await, "green");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_is_no_problem(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let master = world.pid();
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    let worker = children.split_whitespace().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    if kind == Kind::Haproxy {
        // The master ends with its worker, and a service manager starts it again.
        world.await_end();
        world.start_proxy();
    }
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    assert_eq!(body(&world).await, "green");
    well(&fleet).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_share_reloads_and_not_their_faults(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
    #[values(false, true)] one_is_bad: bool,
) {
    let (world, path, text) = edited_world!(kind);
    if one_is_bad {
        // What only the checker can see, and only of one service.
        let end = "{% for service in services %}{% if service.name == \"svc-7\" %}\nnonsense{% endif %}{% endfor %}";
        fs::write(&path, format!("{text}{end}\n")).unwrap();
    }
    let fleet = world.fleet().await;
    let mut instances = Vec::new();
    for index in 0..20 {
        instances.push(Instance::start(&format!("one-{index}")).await);
    }
    let before = reloads(&fleet);
    let deployments = instances.iter().enumerate().map(|(index, instance)| {
        let fleet = fleet.clone();
        async move {
            let host = format!("svc-{index}.example.com");
            let view = view(&format!("svc-{index}"), &host, None);
            fleet.stage(&view, Blue, &[instance.backend()]).await?;
            fleet.flip(&view.service, Blue, 2).await
        }
    });
    let outcomes = within(60, futures_util::future::join_all(deployments)).await;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let bad = one_is_bad && index == 7;
        assert_eq!(outcome.is_err(), bad, "{index}: {:?}", outcome.map_err(|e| e.chain()));
        if !bad {
            let host = format!("svc-{index}.example.com");
            let answer = get(world.http(), &host, "/").await.unwrap();
            assert_eq!(answer.body, format!("one-{index}"));
        }
    }
    let count = reloads(&fleet) - before;
    assert!(count <= if one_is_bad { 8 } else { 4 }, "{count} reloads");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_read(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let before = reloads(&fleet);
    crate::world::renew_certificate(world.directory.path());
    within(15, async {
        while reloads(&fleet) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    within(15, well(&fleet)).await;
    // The probes check against the authority of the new one.
    drop(fleet);
    let fleet = world.fleet().await;
    let green = Instance::start("green").await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
}

/// Whoever looks first does not take the renewal from whoever follows it, and a template that was saved and
/// is bad does not keep it from the public.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_read_whatever_else_happens(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let (world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    fs::write(&path, format!("{text}\nthis is no directive at all")).unwrap();
    problem(&fleet, "checker refuses").await;
    let before = reloads(&fleet);
    crate::world::renew_certificate(world.directory.path());
    let strange = view("films", "films.example.net", None).rule;
    assert_eq!(fleet.obstacles(&strange, false).await.len(), 1);
    within(15, async {
        while reloads(&fleet) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // While nobody looks.
    world.end(fleet).await;
    crate::world::renew_certificate(world.directory.path());
    let fleet = world.fleet().await;
    assert_eq!(reloads(&fleet), 1);
    problem(&fleet, "checker refuses").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_not_done() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let (files, snapshot) = (world.files(), fleet.snapshot(&name("books")).await.unwrap());
    let staging = view("books", HOST, Some(Blue));
    let backends = [green.backend()];
    let given_up =
        tokio::time::timeout(Duration::from_millis(1), fleet.stage(&staging, Green, &backends));
    assert!(given_up.await.is_err());
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(world.files(), files);
}

/// nginx serves by default what was live when it read its files: where that is to be nobody, the flag's
/// end alone does not do.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_first_release_that_is_reverted_late_serves_nobody(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
    #[values(false, true)] reloaded: bool,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, other) = (Instance::start("blue").await, Instance::start("other").await);
    let before = fleet.snapshot(&name("books")).await.unwrap();
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    if reloaded {
        let view = view("other", "other.example.com", None);
        fleet.stage(&view, Blue, &[other.backend()]).await.unwrap();
    }
    let count = reloads(&fleet);
    fleet.restore(&name("books"), &before).await.unwrap();
    let answer = get(world.http(), HOST, "/").await.unwrap();
    assert!([421, 503].contains(&answer.status), "{} {}", answer.status, answer.body);
    let needed = kind == Kind::Nginx && reloaded;
    assert_eq!(reloads(&fleet) - count, u64::from(needed));
}

/// Somebody started it with a file of their own, one without the listener that tells the generation.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_runs_by_other_files_is_reloaded(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let files = world.files();
    world.end(fleet).await;
    world.stop_proxy();
    world.start_proxy_by_other_files();
    assert_eq!(get(world.http(), HOST, "/").await.unwrap().status, 418);
    let fleet = world.fleet().await;
    assert_eq!((world.files(), body(&world).await), (files, "blue".to_owned()));
    assert!(fleet.status()[0].in_sync, "{:?}", fleet.status());
    assert_eq!(reloads(&fleet), 1);
}

/// What is put back need not be what ran: after a retire the file is ahead of the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_whose_rest_fails_is_taken_back() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    fleet.retire(&name("books"), Blue).await.unwrap();
    let files = world.files();
    // A flag that cannot be removed.
    let flag = world.path("flags/ghost.000000000000-000000000000.blue");
    fs::create_dir(&flag).unwrap();
    let other = view("other", "other.example.com", None);
    let staged = within(15, fleet.stage(&other, Blue, &[blue.backend()])).await;
    let error = staged.unwrap_err();
    assert!(
        error.chain().contains("flags/ghost.000000000000-000000000000.blue"),
        "{}",
        error.chain()
    );
    assert_eq!((world.files(), body(&world).await), (files, "green".to_owned()));
    let problem = fleet.status()[0].problem.clone().unwrap_or_default();
    assert!(!problem.contains("could not be put back: the proxy did not"), "{problem}");
    fs::remove_dir(&flag).unwrap();
    fleet.stage(&other, Blue, &[blue.backend()]).await.unwrap();
}

/// What is known of a proxy cannot be read any more: better no keeper than one that takes all services
/// out of the proxy.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_forgot_everything_touches_nothing(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let files = world.files();
    world.end(fleet).await;
    let state = world.path(&format!("state/proxy-edge-{kind}.json"));
    let known = fs::read(&state).unwrap();
    fs::write(&state, &known[..known.len() / 2]).unwrap();
    let started = world.try_fleet().await;
    let error = started.err().expect("it knows nothing of the service");
    assert!(error.chain().contains(state.to_str().unwrap()), "{}", error.chain());
    assert!(error.remedy().is_some());
    assert_eq!((world.files(), body(&world).await), (files, "blue".to_owned()));
    fs::write(&state, known).unwrap();
    let fleet = world.fleet().await;
    assert_eq!((fleet.status()[0].in_sync, reloads(&fleet)), (true, 0));
}

/// What a deployment would fail at is known before it begins.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_foreseen(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let (mut world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let rule = view("books", HOST, Some(Blue)).rule;
    assert_eq!(fleet.obstacles(&rule, true).await, Vec::<String>::new());

    let mut strange = rule.clone();
    strange.hosts.push("books.example.net".to_owned());
    let [certificate] = &fleet.obstacles(&strange, false).await[..] else { panic!() };
    let proxy = format!("proxy `edge-{kind}`: ");
    assert!(certificate.starts_with(&proxy), "{certificate}");
    assert!(certificate.contains("is for host `books.example.net`; put a PEM"), "{certificate}");

    fs::write(&path, format!("{text}\n{{{{ nonsense.here }}}}")).unwrap();
    let place = format!("{}:", path.display());
    problem(&fleet, &place).await;
    let [template] = &fleet.obstacles(&rule, true).await[..] else { panic!() };
    assert!(template.starts_with(&proxy) && template.contains(&place), "{template}");
    assert_eq!(fleet.obstacles(&rule, false).await, Vec::<String>::new());

    world.stop_proxy();
    let [down] = &fleet.obstacles(&rule, false).await[..] else { panic!() };
    assert!(
        down.contains("the proxy does not run: ") && down.contains("; start the proxy"),
        "{down}"
    );
    world.start_proxy();
}
