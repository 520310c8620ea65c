//! Templates that are saved: good ones go live at once, bad ones change nothing.

use std::fs;
use std::time::{Duration, Instant};

use rstest::rstest;
use verdigris::deploy::ports::{Proxies, Trouble};
use verdigris::model::Colour::{Blue, Green};
use verdigris::proxy::Kind;

use crate::backend::Instance;
use crate::client::get;
use crate::edited::{edited_world, problem, well};
use crate::logged::lines;
use crate::world::{HOST, body, deploy, name, reloads, view, within};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_saved_template_is_live_at_once(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let (world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let (from, to) = match kind {
        Kind::Nginx => (
            "return 200 \"{{ generation }}\\n\";",
            "return 200 \"{{ generation }}\\n\";\n        }\n        location = /new {\n            return 204;",
        ),
        Kind::Haproxy => (
            "    http-request return status 404\n",
            "    http-request return status 204 if { path /new }\n    http-request return status 404\n",
        ),
    };
    assert!(text.contains(from));
    let mut took = Vec::new();
    for (text, expected) in [(text.replace(from, to), 204), (text.clone(), 404)] {
        let saved = Instant::now();
        fs::write(&path, text).unwrap();
        loop {
            let answer = get(world.settings.status, "x", "/new").await;
            if answer.is_ok_and(|answer| answer.status == expected) {
                break;
            }
            assert!(saved.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        took.push(saved.elapsed());
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    eprintln!("{kind}: saved to live {took:?}");
    // 300 ms on a quiet machine; this one may be busy.
    assert!(took.iter().all(|took| *took < Duration::from_secs(2)), "{took:?}");
    assert_eq!(body(&world).await, "blue");
    well(&fleet).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_template_changes_nothing(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let (world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let (files, before) = (world.files(), reloads(&fleet));
    let snapshot = fleet.snapshot(&name("books")).await.unwrap();
    for (bad, place) in [
        (format!("# first line\n{{{{ nonsense.here }}}}\n{text}"), ":2:4"),
        (format!("{text}{{% if %}}"), ":"),
        (format!("{text}\nthis is no directive at all"), "the proxy's checker refuses"),
    ] {
        fs::write(&path, &bad).unwrap();
        let problem = problem(&fleet, place).await;
        assert!(!place.starts_with(':') || problem.contains(path.to_str().unwrap()), "{problem}");
        assert_eq!((world.files(), reloads(&fleet)), (files.clone(), before));
        let rendered = fleet.render(&world.settings.name).await.unwrap();
        assert!(rendered.problem.unwrap().contains(place));
        let view = view("books", HOST, Some(Blue));
        let error = fleet.stage(&view, Green, &[green.backend()]).await.unwrap_err();
        assert_eq!(error.trouble, Trouble::Invalid, "{}", error.chain());
        assert!(!error.details.is_empty());
        assert_eq!(world.files(), files);
        fleet.restore(&name("books"), &snapshot).await.unwrap();
        assert_eq!((world.files(), body(&world).await), (files.clone(), "blue".to_owned()));
        fs::write(&path, &text).unwrap();
        well(&fleet).await;
    }
    assert_eq!(fleet.render("nobody").await, None);
    let rendered = fleet.render(&world.settings.name).await.unwrap();
    assert_eq!((rendered.problem, rendered.differs), (None, false));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_does_not_need_the_saved_template(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let (world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let (files, snapshot) = (world.files(), fleet.snapshot(&name("books")).await.unwrap());
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    fs::write(&path, format!("{text}\nthis is no directive at all")).unwrap();
    problem(&fleet, "checker refuses").await;
    drop(fleet);
    let fleet = world.fleet().await;
    problem(&fleet, "checker refuses").await;
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!((world.files(), body(&world).await), (files, "blue".to_owned()));
}

/// Whoever rolls back is in a hurry, and may have come to it by the template that was saved.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_served_before_does_not_need_the_saved_template(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
    #[values(("\nthis is no directive at all", "checker refuses"), ("\n{% if %}", "template"))]
    (spoilt, told): (&str, &str),
) {
    let (mut world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let moved = Instance::start("blue, moved").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    fs::write(&path, format!("{text}{spoilt}")).unwrap();
    let bad = problem(&fleet, told).await;
    let live = view("books", HOST, Some(Green));
    fleet.stage(&live, Blue, &[moved.backend()]).await.unwrap_err();
    let notes = fleet.restage(&live, Blue, &[moved.backend()]).await.unwrap();
    let first = bad.lines().next().unwrap();
    let expected = format!("proxy `edge-{kind}` goes by its last good template: {first}");
    assert_eq!(notes, [expected]);
    fleet.flip(&name("books"), Blue, 3).await.unwrap();
    assert_eq!(body(&world).await, "blue, moved");
    assert_eq!(problem(&fleet, told).await, bad);
    // One that starts anew on what it has is led back as well.
    world.stop_proxy();
    world.start_proxy();
    assert!(
        fleet.restage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await.is_ok()
    );
    fleet.flip(&name("books"), Green, 4).await.unwrap();
    assert_eq!(body(&world).await, "green");
    fs::write(&path, &text).unwrap();
    well(&fleet).await;
    let notes = fleet.restage(&view("books", HOST, Some(Green)), Blue, &[moved.backend()]).await;
    assert_eq!(notes.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn included_files_are_part_of_the_template() {
    let (world, path, text) = edited_world!(Kind::Nginx);
    let include = "{% include \"parts/extra.tera\" %}";
    let text = text.replace(
        "        location / {\n            return 404;",
        &format!("        {include}\n        location / {{\n            return 404;"),
    );
    assert!(text.contains(include));
    fs::write(&path, text).unwrap();
    let fleet = world.fleet().await;
    let missing = problem(&fleet, "parts/extra.tera").await;
    assert!(missing.contains(&format!("{}:", path.display())), "{missing}");
    let part = world.path("templates/parts/extra.tera");
    fs::create_dir(part.parent().unwrap()).unwrap();
    fs::write(&part, "location = /extra {\n    return 299;\n}\n").unwrap();
    // Its directory is new: it is found within a look.
    within(10, well(&fleet)).await;
    assert_eq!(get(world.settings.status, "x", "/extra").await.unwrap().status, 299);
    fs::write(&part, "location = /extra {\n    return {{ 1 / }};\n}\n").unwrap();
    let faulty = problem(&fleet, "extra.tera:2:").await;
    assert!(faulty.contains(part.to_str().unwrap()), "{faulty}");
    assert_eq!(get(world.settings.status, "x", "/extra").await.unwrap().status, 299);
    fs::write(&part, "location = /extra {\n    return 298;\n}\n").unwrap();
    within(3, well(&fleet)).await;
    assert_eq!(get(world.settings.status, "x", "/extra").await.unwrap().status, 298);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_haproxy_template_may_do_without_slots() {
    let (world, path, text) = edited_world!(Kind::Haproxy);
    let from = text.find("{%- for slot").unwrap();
    let to = text.find("{%- endfor %}\n{%- endfor %}\n{%- endfor %}").unwrap();
    let plain =
        "{%- for server in colour.servers %}\n    server {{ server.name }} {{ server.address }}\n";
    fs::write(&path, format!("{}{plain}{}", &text[..from], &text[to..])).unwrap();
    let fleet = world.fleet().await;
    assert_eq!(fleet.status()[0].problem, None);
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    assert_eq!(body(&world).await, "green");
    let before = reloads(&fleet);
    deploy(&fleet, &view("books", HOST, Some(Green)), Blue, &[blue.backend()]).await;
    assert_eq!((body(&world).await, reloads(&fleet)), ("blue".to_owned(), before));
    fleet
        .stage(&view("books", HOST, Some(Blue)), Green, &[green.backend(), blue.backend()])
        .await
        .unwrap();
    assert_eq!(reloads(&fleet), before + 1);
}

/// Everything is looked at every few seconds, and a template that is bad stays so.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_template_is_logged_once_with_its_place(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let (world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let bad = |line: usize| format!("{}{{{{ nonsense.here }}}}\n{text}", "#\n".repeat(line - 1));
    let place = |line: usize| format!("{}:{line}:4", path.display());
    fs::write(&path, bad(2)).unwrap();
    problem(&fleet, &place(2)).await;
    // What a look puts right shows that there was one.
    fs::write(&world.settings.output, "# edited\n").unwrap();
    within(30, async {
        while fs::read_to_string(&world.settings.output).unwrap() == "# edited\n" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let logged = lines(&place(2));
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(logged[0].contains("WARN") && logged[0].contains("nonsense"), "{logged:?}");
    assert!(logged[0].contains(&format!("edge-{kind}")), "{logged:?}");
    fs::write(&path, bad(3)).unwrap();
    problem(&fleet, &place(3)).await;
    assert_eq!((lines(&place(2)).len(), lines(&place(3)).len()), (1, 1));
}

/// Who knows the secret of the probes reaches colours that are not live, which whoever may only look at
/// configurations is not to.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_the_probes_is_shown_to_nobody(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let (world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let (_, secret) = fleet.doors()[0].probe.clone().unwrap();
    assert!(fs::read_to_string(&world.settings.output).unwrap().contains(&secret));
    let rendered = fleet.render(&world.settings.name).await.unwrap();
    assert_eq!((&rendered.problem, rendered.differs), (&None, false));
    let shown = [rendered.text.unwrap(), rendered.current.unwrap()];
    assert_eq!(shown[0], shown[1]);
    assert!(shown[0].contains("\"(secret)\"") && !shown[0].contains(&secret), "{}", shown[0]);
    // A checker repeats what it does not understand.
    fs::write(&path, format!("{text}\n{{{{ probe.value }}}} is no directive;\n")).unwrap();
    let problem = problem(&fleet, "(secret)").await;
    assert!(!problem.contains(&secret), "{problem}");
    let rendered = fleet.render(&world.settings.name).await.unwrap();
    let problem = rendered.problem.unwrap();
    assert!(rendered.differs && problem.contains("(secret)"), "{problem}");
    assert!(!problem.contains(&secret), "{problem}");
    let green = fleet.stage(&view("books", HOST, Some(Blue)), Green, &[blue.backend()]).await;
    let error = green.unwrap_err();
    let said = format!("{} {:?}", error.chain(), error.details);
    assert!(said.contains("(secret)") && !said.contains(&secret), "{said}");
}

/// What the checker saw is a file that nobody else ever sees.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_checker_refuses_is_told_with_its_place_in_the_template(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let (world, path, text) = edited_world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let part = world.path("templates/part.tera");
    let mark = text.find("server_tokens off").or_else(|| text.find("timeout connect")).unwrap();
    let number = text[..mark].lines().count();
    let with = |line: &str| format!("{}{line}\n    {}", &text[..mark], &text[mark..]);
    let literal = with("nonsense from us;");
    let made = with("{{ \"made\" }} nonsense;");
    let included = with("{% include \"part.tera\" %}");
    fs::write(&part, "# a part\n\n  nonsense of a part;\n").unwrap();
    let template = path.display();
    for (bad, place, line) in [
        (&literal, format!("{template}:{number}:5"), "`nonsense from us;`"),
        (&made, format!("{template}, line "), "`made nonsense;`"),
        (&included, format!("{}:3:3", part.display()), "`nonsense of a part;`"),
    ] {
        fs::write(&path, bad).unwrap();
        let told = problem(&fleet, &place).await;
        let rendered = fleet.render(&world.settings.name).await.unwrap().problem.unwrap();
        let staged = fleet.stage(&view("books", HOST, Some(Blue)), Green, &[blue.backend()]).await;
        let error = staged.unwrap_err();
        let refused = format!("{}\n{}", error.chain(), error.details.join("\n"));
        let logged = lines(&place).concat();
        for said in [told, rendered, refused] {
            assert!(said.contains(&place) && said.matches(line).count() == 1, "{said}");
            assert!(!said.contains(".staged"), "{said}");
        }
        assert!(logged.contains(line) && !logged.contains(".staged"), "{logged}");
        fleet
            .restore(&name("books"), &fleet.snapshot(&name("books")).await.unwrap())
            .await
            .unwrap();
        fs::write(&path, &text).unwrap();
        well(&fleet).await;
    }
}
