//! Templates that go wrong while a release is being deployed, and templates that are saved wrong.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use verdigris::model::{Outcome, Step};

use crate::support::world::{request, rollback};
use crate::support::{Proxy, Registry, Traffic, World, run};

/// The templates, by proxy.
const FILES: [(&str, &str); 2] = [("nginx", "nginx.conf.tera"), ("haproxy", "haproxy.cfg.tera")];

/// Comes with every change, so that what is rendered tells that it was taken in.
const WORD: &str = "# a word of ours";

/// Copies of the templates, which `break_it` may change at any time.
struct Templates(TempDir);

impl Templates {
    fn copied() -> Self {
        let copies = Self(tempfile::tempdir().unwrap());
        for (_, file) in FILES {
            let original = run::root().join("templates").join(file);
            std::fs::copy(original, copies.0.path().join(file)).unwrap();
        }
        copies
    }

    /// The configuration names them.
    fn named_in(&self, config: &str) -> String {
        let line = |file| format!("template = \"{}\"\n", self.0.path().join(file).display());
        config
            .replace(
                "kind = \"nginx\"\n",
                &format!("kind = \"nginx\"\n{}", line("nginx.conf.tera")),
            )
            .replace(
                "kind = \"haproxy\"\n",
                &format!("kind = \"haproxy\"\n{}", line("haproxy.cfg.tera")),
            )
    }

    fn change(&self, file: &str, change: impl Fn(&str) -> String) {
        let path = self.0.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "the change has no effect on {file}");
        // As editors do: a reader sees the old text or the new.
        let aside = path.with_extension("new");
        std::fs::write(&aside, changed).unwrap();
        std::fs::rename(aside, path).unwrap();
    }

    /// Once green has instances, what is rendered has `line` in it, before the line that has `mark`.
    fn with_green(&self, file: &str, mark: &str, line: &str) {
        let condition = "{% for service in services %}{% for colour in service.colours %}\
            {% if colour.name == \"green\" and colour.servers %}";
        let insert = format!("{condition}\n{line}\n{{% endif %}}{{% endfor %}}{{% endfor %}}\n");
        self.before(file, mark, &insert);
    }

    fn before(&self, file: &str, mark: &str, insert: &str) {
        self.change(file, |text| {
            assert_eq!(text.matches(mark).count(), 1, "`{mark}` in {file}");
            let at = text.find(mark).unwrap();
            let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            format!("{}{WORD}\n{insert}{}", &text[..line], &text[line..])
        });
    }
}

/// The first release is live; a second one fails at a proxy, says what `tells` says, and nothing has
/// moved; with the template as it was, it goes.
async fn fails_at_the_proxy(
    proxy: Proxy,
    step: Step,
    tells: &[&str],
    spoil: impl Fn(&Templates, &World),
) {
    let templates = Templates::copied();
    let change = |config: String| templates.named_in(&config);
    let Some(world) = World::with(Registry::Embedded, proxy, change).await else { return };
    world.deploy(&world.books("1.0")).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    let good = |file| std::fs::read_to_string(templates.0.path().join(file)).unwrap();
    let originals = FILES.map(|(_, file)| (file, good(file)));
    spoil(&templates, &world);
    for (proxy, file) in FILES.into_iter().filter(|(name, _)| proxy.names().contains(name)) {
        is_rendered(&world, proxy, file).await;
    }
    until_in_sync(&world).await;
    let before = world.settled().await;
    let ended = world.deploy(&world.books("2.0")).await;
    let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
    assert_eq!((ended.exit(), failure.step), (13, step), "{}", ended.story());
    for words in tells {
        assert!(ended.told().contains(words), "`{words}` is not told:\n{}", ended.told());
    }
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
    for (file, text) in originals {
        std::fs::write(templates.0.path().join(file), text).unwrap();
    }
    until_in_sync(&world).await;
    world.deploy(&world.books("3.0")).await.committed();
    traffic.end("a template that goes wrong").await;
}

/// Waits until what was saved is in what the proxy reads.
async fn is_rendered(world: &World, proxy: &str, file: &str) {
    let output = world.bed.directory().join(proxy).join(file.trim_end_matches(".tera"));
    let begun = Instant::now();
    while !read(&output).contains(WORD) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", world.daemon.said());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_in_sync(world: &World) {
    let begun = Instant::now();
    loop {
        let proxies = world.client().status(None).await.unwrap().proxies;
        if proxies.iter().all(|proxy| proxy.in_sync && proxy.problem.is_none()) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{proxies:?}\n{}", world.daemon.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_refuses_what_is_rendered() {
    let tells = ["edge-nginx", "nonsense"];
    fails_at_the_proxy(Proxy::Nginx, Step::Stage, &tells, |templates, _| {
        templates.with_green("nginx.conf.tera", "# ---- headers:", "nonsense;");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_refuses_what_is_rendered() {
    let tells = ["edge-haproxy", "nonsense"];
    fails_at_the_proxy(Proxy::Haproxy, Step::Stage, &tells, |templates, _| {
        templates.with_green("haproxy.cfg.tera", "# ---- private:", "    nonsense");
    })
    .await;
}

/// Its checker does not bind, the reload does: somebody else has that port.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_cannot_reload_what_its_checker_let_pass() {
    let tells = ["edge-nginx"];
    fails_at_the_proxy(Proxy::Nginx, Step::Stage, &tells, |templates, world| {
        world.bed.occupy_port(9999);
        let server = "server { listen 127.0.0.1:9999; }";
        templates.with_green("nginx.conf.tera", "# ---- headers:", server);
    })
    .await;
}

/// The same with HAProxy, whose new process finds its port taken; the one before goes on.
#[tokio::test(flavor = "multi_thread")]
async fn haproxy_cannot_reload_what_its_checker_let_pass() {
    let tells = ["edge-haproxy"];
    fails_at_the_proxy(Proxy::Haproxy, Step::Stage, &tells, |templates, world| {
        world.bed.occupy_port(9998);
        let frontend = "listen taken\n    bind 127.0.0.1:9998";
        templates.with_green("haproxy.cfg.tera", "# ---- private:", frontend);
    })
    .await;
}

/// Whatever is switched, the public gets blue: the proxy cannot be proved to lead to green.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_from_the_wrong_colour() {
    fails_at_the_proxy(Proxy::Both, Step::Switch, &["blue"], |templates, _| {
        templates.before(
            "nginx.conf.tera",
            "if ($verdigris_wanted) {",
            "set $verdigris_backend \"{{ route.service }}-blue\";\n",
        );
        templates.before(
            "haproxy.cfg.tera",
            "if { var(txn.verdigris_probe) -m bool } { req.hdr(x-verdigris-colour)",
            "    http-request set-var-fmt(txn.verdigris_backend) \"%[var(txn.verdigris_service)]-blue\"\n",
        );
    })
    .await;
}

/// The switch is proved, and yet some of the public gets blue: a gate that asks there finds it out, whatever
/// the answer is.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_asks_where_the_answer_comes_from_the_wrong_colour() {
    let templates = Templates::copied();
    let change = |config: String| templates.named_in(&config);
    let Some(world) = World::with(Registry::Embedded, Proxy::Both, change).await else { return };
    world.deploy(&world.books("1.0")).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    templates.before(
        "nginx.conf.tera",
        "if ($verdigris_wanted) {",
        "if ($uri = /api/v1/books/version) { set $verdigris_backend \"{{ route.service }}-blue\"; }\n",
    );
    templates.before(
        "haproxy.cfg.tera",
        "if { var(txn.verdigris_probe) -m bool } { req.hdr(x-verdigris-colour)",
        "    http-request set-var-fmt(txn.verdigris_backend) \"%[var(txn.verdigris_service)]-blue\" \
         if { path /api/v1/books/version }\n",
    );
    for (proxy, file) in FILES {
        is_rendered(&world, proxy, file).await;
    }
    until_in_sync(&world).await;
    let before = world.settled().await;
    let gate = json!({ "http": { "path": "/api/v1/books/version" }, "timeout": "10s" });
    let ended = world.deploy(&world.books("2.0").gate("post_integration", &[gate])).await;
    let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
    assert_eq!((ended.exit(), failure.step), (12, Step::PostIntegration), "{}", ended.story());
    for words in ["blue", "instead of green", "edge-nginx", "edge-haproxy", ":80", ":443"] {
        assert!(ended.told().contains(words), "`{words}` is not told:\n{}", ended.told());
    }
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
    traffic.end("an answer from the wrong colour").await;
}

/// What is saved is live at once when it is good, and changes nothing when it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_saved() {
    let templates = Templates::copied();
    let change = |config: String| templates.named_in(&config);
    let Some(world) = World::with(Registry::Embedded, Proxy::Both, change).await else { return };
    world.deploy(&world.books("1.0")).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    for (proxy, file) in FILES {
        templates.before(file, "# ---- private:", "");
        is_rendered(&world, proxy, file).await;
        until_in_sync(&world).await;
        let before = world.settled().await;
        for (bad, column) in [("  {{ nobody.knows }}\n", 6), ("  nobody_knows what;\n", 3)] {
            templates.before(file, "# ---- private:", bad);
            let path = templates.0.path().join(file);
            let line = read(&path).lines().position(|line| line == bad.trim_end()).unwrap() + 1;
            let place = format!("{}:{line}:{column}", path.display());
            let problem = until_problem(&world, proxy).await;
            let rendered = world.client().render(&format!("edge-{proxy}")).await.unwrap();
            for told in [problem, rendered.problem.unwrap(), world.daemon.said()] {
                assert!(told.contains(&place) && !told.contains(".staged"), "{place}: {told}");
            }
            world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
            // With the word, so that there is one.
            templates.change(file, |text| text.replace(&format!("{WORD}\n{bad}"), ""));
            until_in_sync(&world).await;
        }
    }
    traffic.end("templates that are saved").await;
}

/// A template that is bad keeps what is new out. The revert of that starts the kept colour anew, at other
/// addresses, and yet the way back to it is open at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_by_the_last_good_template() {
    let templates = Templates::copied();
    let change = |config: String| templates.named_in(&config);
    let Some(world) = World::with(Registry::Embedded, Proxy::Both, change).await else { return };
    for edition in ["1.0", "2.0"] {
        world.deploy(&world.books(edition).asking("retain", json!({}))).await.committed();
    }
    let traffic = Traffic::start(&world, "books-ms");
    for (_, file) in FILES {
        templates.before(file, "# ---- private:", "nobody_knows what;\n");
    }
    for proxy in Proxy::Both.names() {
        until_problem(&world, proxy).await;
    }
    let request = request(&world.books("3.0"));
    let foreseen = world.client().plan(&request).await.unwrap().problems;
    assert_eq!(foreseen.iter().filter(|it| it.contains("nobody_knows")).count(), 2, "{foreseen:?}");
    let ended = world.run(request).await;
    let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
    assert_eq!((ended.exit(), failure.step), (13, Step::Stage), "{}", ended.story());
    let back = world.run(rollback("books-ms")).await.committed();
    assert!(back.story().contains("goes by its last good template"), "{}", back.story());
    traffic.end("a rollback by the last good template").await;
}

async fn until_problem(world: &World, proxy: &str) -> String {
    let begun = Instant::now();
    loop {
        let proxies = world.client().status(None).await.unwrap().proxies;
        let found = proxies.iter().find(|status| status.name == format!("edge-{proxy}")).unwrap();
        if let Some(problem) = &found.problem {
            return problem.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", world.daemon.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
