//! What the public meets: names, paths, headers, TLS, streams, upgrades.

use std::process::Stdio;
use std::time::Duration;

use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use verdigris::deploy::ports::{Proxies, Trouble};
use verdigris::model::Colour::{Blue, Green};
use verdigris::model::ServiceView;
use verdigris::proxy::Kind;

use crate::backend::Instance;
use crate::client::{Load, get, get_with};
use crate::edited::{problem, well};
use crate::world::{HOST, World, body, deploy, name, reloads, view, within, world};

fn at(mut view: ServiceView, path: &str, tls: bool) -> ServiceView {
    path.clone_into(&mut view.rule.path);
    view.rule.tls = tls;
    view
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_prefix_of_whole_segments_wins(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let mut instances = Vec::new();
    for (service, path) in [("root", "/"), ("api", "/api"), ("books", "/api/v1/books/")] {
        let instance = Instance::start(service).await;
        let view = at(view(service, HOST, None), path, true);
        deploy(&fleet, &view, Blue, &[instance.backend()]).await;
        instances.push(instance);
    }
    let other = Instance::start("other").await;
    let elsewhere = at(view("other", "other.example.com", None), "/only", false);
    deploy(&fleet, &elsewhere, Blue, &[other.backend()]).await;
    for (host, path, expected) in [
        (HOST, "/", "root"),
        (HOST, "/apis", "root"),
        (HOST, "/api", "api"),
        (HOST, "/api/", "api"),
        (HOST, "/api?x=1", "api"),
        (HOST, "/api/v1/booksx", "api"),
        (HOST, "/api/v1/books", "books"),
        (HOST, "/api/v1/books/1?q=/other", "books"),
        ("BOOKS.example.COM:8080", "/api/v1/books/1", "books"),
        ("other.example.com", "/only/this", "other"),
    ] {
        let answer = get(world.http(), host, path).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, expected), "{host}{path}");
    }
    for (host, path) in [
        ("unknown.example.com", "/"),
        ("sub.books.example.com", "/"),
        ("other.example.com", "/"),
        ("other.example.com", "/onlyx"),
        ("", "/"),
    ] {
        let answer = get(world.http(), host, path).await.unwrap();
        assert!([421, 400].contains(&answer.status), "{host}{path}: {}", answer.status);
    }
    fleet.stage(&view("new", "new.example.com", None), Blue, &[other.backend()]).await.unwrap();
    assert_eq!(get(world.http(), "new.example.com", "/").await.unwrap().status, 503);
}

/// Whichever proxy a path comes by, it leads to the same service, or to none.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_read_in_one_way(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let books = Instance::start("books").await;
    let view = at(view("books", HOST, None), "/api/v1/books", true);
    deploy(&fleet, &view, Blue, &[books.backend()]).await;
    for (path, status) in [
        ("//api/v1/books", 200),
        ("/api//v1///books//1", 200),
        ("/api/v1/%62ooks/a+b%25", 200),
        ("/api%2Fv1/books", 200),
        ("/api/v1/books/...?x=/../y", 200),
        ("/api/v1/books/.hidden", 200),
        ("/api/v1/books%3f", 421),
        ("/api/v1/books/../x", 400),
        ("/x/../api/v1/books", 400),
        ("/x/%2e%2E/api/v1/books", 400),
        ("/api/v1/books%2f..", 400),
        ("/api/v1/./books", 400),
        ("/api/v1/books/%zz", 400),
        ("/api/v1/books/%0", 400),
        ("/api/v1/books/%00", 400),
    ] {
        let answer = get(world.http(), HOST, path).await.unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_clients_claim_is_not_passed_on(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await.unwrap();
    let (header, secret) = fleet.doors()[0].probe.clone().unwrap();
    let claims = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Real-IP", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
        ("Proxy", "http://6.6.6.6"),
        ("X_Forwarded_For", "6.6.6.6"),
        ("X-Verdigris-Colour", "green"),
        ("X-Verdigris-Upstream", "6.6.6.6:6"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        (header.as_str(), secret.as_str()),
    ];
    let answer = get_with(world.http(), HOST, "/headers", &claims[..9]).await.unwrap();
    assert!(!answer.body.contains("6.6.6.6") && !answer.body.contains("gopher"), "{}", answer.body);
    assert!(!answer.body.contains("http2-settings"), "{}", answer.body);
    for expected in
        ["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-real-ip: 127.0.0.1"]
    {
        assert!(answer.body.contains(expected), "{expected} in {}", answer.body);
    }
    assert!(answer.body.contains(&format!("x-forwarded-host: {HOST}")), "{}", answer.body);
    assert_eq!(answer.header("x-verdigris-upstream"), None, "{}", answer.head);
    assert_eq!(answer.header("x-verdigris-colour"), None, "{}", answer.head);
    let odd = get(world.http(), &format!("{}:8080", HOST.to_uppercase()), "/headers").await;
    let odd = odd.unwrap().body;
    assert!(odd.lines().any(|line| line == format!("host: {HOST}")), "{odd}");
    let upgrade = [("Upgrade", "h2c, websocket")];
    let answer = get_with(world.http(), HOST, "/headers", &upgrade).await.unwrap();
    assert!(!answer.body.contains("h2c"), "{}", answer.body);
    // Who knows the secret is told, and may ask for the idle colour.
    let known = [(header.as_str(), secret.as_str())];
    let answer = get_with(world.http(), HOST, "/headers", &known).await.unwrap();
    assert_eq!(answer.header("x-verdigris-upstream"), Some(blue.address.to_string().as_str()));
    assert_eq!(answer.header("x-verdigris-colour"), Some("blue"));
    assert!(!answer.body.contains(&secret), "{}", answer.body);
    let answer = get_with(world.http(), HOST, "/headers", &claims).await.unwrap();
    assert_eq!(answer.header("x-verdigris-upstream"), Some(green.address.to_string().as_str()));
    assert_eq!(answer.header("x-verdigris-colour"), Some("green"));
    assert!(!answer.body.contains(&secret), "{}", answer.body);
    let wrong = [(header.as_str(), "guess"), ("X-Verdigris-Colour", "green")];
    let answer = get_with(world.http(), HOST, "/x", &wrong).await.unwrap();
    assert_eq!((answer.body.as_str(), answer.header("x-verdigris-upstream")), ("blue", None));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn strange_requests_are_refused(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let before = blue.requests();
    for request in [
        format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 99999999\r\n\r\n"),
        format!("POST / HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"
        ),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: x\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(world.http()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let length = within(10, stream.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4"),
            "{request}{answer}"
        );
    }
    assert_eq!(blue.requests(), before);
    // An upgrade to anything but a WebSocket is an ordinary request.
    let upgrade = [("Upgrade", "h2c"), ("Connection", "Upgrade, X-Forwarded-For")];
    let answer = get_with(world.http(), HOST, "/headers", &upgrade).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("h2c"), "{}", answer.body);
    assert!(answer.body.contains("x-forwarded-for: 127.0.0.1"), "{}", answer.body);
}

/// By the length that is announced. One of chunks is counted by nginx alone.
#[rstest]
#[case(Kind::Nginx, 413)]
#[case(Kind::Haproxy, 200)]
#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_have_ten_megabytes(#[case] kind: Kind, #[case] in_chunks: u16) {
    const MOST: usize = 10 * 1024 * 1024;
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let post = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n");
    let chunk = [format!("{MOST:x}\r\n").into_bytes(), vec![b'x'; MOST], b"\r\n".into()].concat();
    let chunks = [&chunk[..], &chunk[..], b"0\r\n\r\n"].concat();
    for (framing, body, expected) in [
        (format!("Content-Length: {MOST}"), &vec![b'x'; MOST], 200),
        (format!("Content-Length: {}", MOST + 1), &Vec::new(), 413),
        ("Transfer-Encoding: chunked".to_owned(), &chunks, in_chunks),
    ] {
        let stream = TcpStream::connect(world.http()).await.unwrap();
        let (mut answers, mut requests) = stream.into_split();
        let request = [format!("{post}{framing}\r\n\r\n").as_bytes(), body].concat();
        // One that is refused may not be read to its end; and one that is sent is not taken back.
        let sent = tokio::spawn(async move {
            let _ = requests.write_all(&request).await;
            requests
        });
        let mut answer = [0; 12];
        within(20, answers.read_exact(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer, format!("HTTP/1.1 {expected}"), "{framing}");
        drop(answers);
        let _ = sent.await;
    }
}

/// What `curl` says of a request to the TLS listener.
async fn curl(world: &World, host: &str, arguments: &[&str]) -> (bool, String) {
    let https = world.settings.https.unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "10", "--cacert"])
        .arg(world.settings.ca.as_ref().unwrap())
        .args(["--resolve", &format!("{host}:{}:127.0.0.1", https.port())])
        .args(arguments)
        .arg(format!("https://{host}:{}/", https.port()))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tls_with_http_2(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let plain = at(view("plain", "plain.example.com", None), "/", false);
    deploy(&fleet, &plain, Blue, &[blue.backend()]).await;
    let version = ["--write-out", " HTTP/%{http_version} %{http_code}"];
    assert_eq!(curl(&world, HOST, &version).await, (true, "blue HTTP/2 200".to_owned()));
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    assert_eq!(curl(&world, HOST, &version).await, (true, "green HTTP/2 200".to_owned()));
    let old = [&version[..], &["--http1.1", "--tls-max", "1.2"]].concat();
    assert_eq!(curl(&world, HOST, &old).await, (true, "green HTTP/1.1 200".to_owned()));
    let (ok, said) =
        curl(&world, HOST, &["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]).await;
    assert!(!ok, "{said}");
    // A name without TLS gets none of it, nor does one that nobody deployed.
    let (ok, said) = curl(&world, "plain.example.com", &version).await;
    assert!(!ok || said.ends_with("421"), "{said}");
    assert_eq!(get(world.http(), "plain.example.com", "/").await.unwrap().status, 200);
    let (ok, said) = curl(&world, "unknown.example.com", &version).await;
    assert!(!ok || said.ends_with("421"), "{said}");
    let (ok, said) = curl(&world, "elsewhere.test", &["--insecure"]).await;
    assert!(!ok, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_certificate_is_refused() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    let files = world.files();
    let staged = fleet.stage(&view("other", "www.other.test", None), Blue, &[blue.backend()]).await;
    let error = staged.unwrap_err();
    assert_eq!(error.trouble, Trouble::Invalid);
    assert!(error.chain().contains("is for host `www.other.test`"), "{}", error.chain());
    assert_eq!(error.details, ["there are certificates for: *.example.com, www.example.org"]);
    assert_eq!(world.files(), files);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn streams_and_upgrades_outlive_the_flip(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let address = world.http();
    let stream = tokio::spawn(async move { get(address, HOST, "/stream/2000").await });
    let mut socket = TcpStream::connect(address).await.unwrap();
    let upgrade = format!(
        "GET /echo HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let length = within(10, socket.read(&mut buffer)).await.unwrap();
    assert!(
        buffer[..length].starts_with(b"HTTP/1.1 101"),
        "{:?}",
        String::from_utf8_lossy(&buffer[..length])
    );
    // An upload whose body comes slowly belongs to the colour that it began with.
    let mut upload = TcpStream::connect(address).await.unwrap();
    upload.write_all(format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc").as_bytes()).await.unwrap();
    while blue.active() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    assert_eq!(body(&world).await, "green");
    socket.write_all(b"still there?").await.unwrap();
    let length = within(10, socket.read(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..length], b"still there?");
    let books = name("books");
    let drained = fleet.drained(&books, Blue);
    tokio::pin!(drained);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut drained).await.is_err());
    upload.write_all(b"def").await.unwrap();
    let mut answer = String::new();
    within(10, upload.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("blue") && answer.contains("x-received: 6"), "{answer}");
    let lines = within(10, stream).await.unwrap().unwrap().body;
    assert_eq!(lines.lines().count(), 20);
    assert!(lines.lines().all(|line| line.starts_with("blue ")), "{lines}");
    assert!(tokio::time::timeout(Duration::from_millis(1500), &mut drained).await.is_err());
    drop(socket);
    within(10, drained).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_comes_with_the_flip(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let root = Instance::start("root").await;
    deploy(&fleet, &view("root", HOST, None), Blue, &[root.backend()]).await;
    let old = at(view("books", HOST, None), "/old", true);
    deploy(&fleet, &old, Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let (files, snapshot) = (world.files(), fleet.snapshot(&name("books")).await.unwrap());
    let mut new = at(view("books", HOST, Some(Blue)), "/new", true);
    new.rule.hosts.push("more.example.com".to_owned());
    let seen = async || {
        let mut seen = Vec::new();
        for (host, path) in [(HOST, "/old/x"), (HOST, "/new/x"), ("more.example.com", "/new")] {
            let answer = get(world.http(), host, path).await.unwrap();
            seen.push(if answer.status == 200 { answer.body } else { answer.status.to_string() });
        }
        seen
    };
    assert_eq!(seen().await, ["blue", "root", "421"]);
    fleet.stage(&new, Green, &[green.backend()]).await.unwrap();
    assert_eq!(seen().await, ["blue", "root", "421"], "staging has no public effect");
    let before = reloads(&fleet);
    let load = Load::start(world.http(), HOST, 2, 2);
    fleet.flip(&name("books"), Green, 3).await.unwrap();
    assert_eq!(seen().await, ["root", "green", "green"]);
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(seen().await, ["blue", "root", "421"]);
    assert_eq!(world.files(), files);
    deploy(&fleet, &new, Green, &[green.backend()]).await;
    fleet.retire(&name("books"), Blue).await.unwrap();
    assert_eq!(seen().await, ["root", "green", "green"]);
    assert_eq!(load.stop().await.lost, Vec::<String>::new());
    assert_eq!(reloads(&fleet), before, "the flip brings the rule, no reload does");
}

/// Whoever is below decides about TLS, not whoever is above, and only once it is live.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_tls_is_not_answered_on_tls_by_the_one_above_it(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (root, blue) = (Instance::start("root").await, Instance::start("blue").await);
    let green = Instance::start("green").await;
    deploy(&fleet, &view("root", HOST, None), Blue, &[root.backend()]).await;
    let secure = async || {
        let status = ["--request-target", "/plain", "--write-out", " %{http_code}"];
        curl(&world, HOST, &status).await.1
    };
    let plain = async || get(world.http(), HOST, "/plain").await.unwrap().body;
    let first = at(view("books", HOST, None), "/plain", false);
    fleet.stage(&first, Blue, &[blue.backend()]).await.unwrap();
    assert_eq!((secure().await, plain().await), ("root 200".to_owned(), "root".to_owned()));
    fleet.flip(&name("books"), Blue, 2).await.unwrap();
    assert!(secure().await.ends_with(" 421"), "{}", secure().await);
    assert_eq!(plain().await, "blue");
    // A release that is answered on TLS brings it with its flip.
    let second = at(view("books", HOST, Some(Blue)), "/plain", true);
    fleet.stage(&second, Green, &[green.backend()]).await.unwrap();
    assert!(secure().await.ends_with(" 421"), "{}", secure().await);
    fleet.flip(&name("books"), Green, 3).await.unwrap();
    assert_eq!((secure().await, plain().await), ("green 200".to_owned(), "green".to_owned()));
    // And one that is not takes it with its own.
    let third = at(view("books", HOST, Some(Green)), "/plain", false);
    fleet.stage(&third, Blue, &[blue.backend()]).await.unwrap();
    assert_eq!(secure().await, "green 200");
    fleet.flip(&name("books"), Blue, 4).await.unwrap();
    assert!(secure().await.ends_with(" 421"), "{}", secure().await);
    assert_eq!(plain().await, "blue");
}

/// As when a monolith is carved up.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_service_leaves_its_path_to_the_one_above_it_until_the_flip(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (root, blue) = (Instance::start("root").await, Instance::start("blue").await);
    let films = Instance::start("films").await;
    deploy(&fleet, &view("root", HOST, None), Blue, &[root.backend()]).await;
    fleet.retire(&name("root"), Green).await.unwrap();
    let (files, snapshot) = (world.files(), fleet.snapshot(&name("books")).await.unwrap());
    let new = at(view("books", HOST, None), "/api", true);
    let led = async || {
        let plain = get(world.http(), HOST, "/api/x").await.unwrap();
        let (_, secure) = curl(&world, HOST, &["--request-target", "/api/x"]).await;
        assert_eq!(plain.body, secure);
        secure
    };
    assert_eq!(led().await, "root");
    fleet.stage(&new, Blue, &[blue.backend()]).await.unwrap();
    assert_eq!(led().await, "root", "staging has no public effect");
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!((led().await, world.files()), ("root".to_owned(), files.clone()));
    deploy(&fleet, &new, Blue, &[blue.backend()]).await;
    assert_eq!(led().await, "blue");
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!((led().await, world.files()), ("root".to_owned(), files));
    // With a reload in between, by which the new service is the one that serves.
    deploy(&fleet, &new, Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("films", "films.example.com", None), Blue, &[films.backend()]).await;
    assert_eq!(led().await, "blue");
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(led().await, "root");
}

/// What another service needed meanwhile made nginx forget the rule before.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_comes_back_after_a_reload_for_somebody_else(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let films = Instance::start("films").await;
    deploy(&fleet, &at(view("books", HOST, None), "/old", true), Blue, &[blue.backend()]).await;
    let snapshot = fleet.snapshot(&name("books")).await.unwrap();
    let new = at(view("books", HOST, Some(Blue)), "/new", true);
    deploy(&fleet, &new, Green, &[green.backend()]).await;
    deploy(&fleet, &view("films", "films.example.com", None), Blue, &[films.backend()]).await;
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(get(world.http(), HOST, "/old").await.unwrap().body, "blue");
    assert_ne!(get(world.http(), HOST, "/new").await.unwrap().status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_route_belongs_to_one_service(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &at(view("books", HOST, None), "/api/", true), Blue, &[blue.backend()]).await;
    for (path, hosts) in
        [("/api", vec![HOST]), ("/x;}", vec![HOST]), ("/", vec!["a b"]), ("/", vec![])]
    {
        let mut view = at(view("other", HOST, None), path, true);
        view.rule.hosts = hosts.into_iter().map(str::to_owned).collect();
        let error = fleet.stage(&view, Blue, &[blue.backend()]).await.unwrap_err();
        assert!(
            [Trouble::Conflict, Trouble::Invalid].contains(&error.trouble),
            "{}",
            error.chain()
        );
    }
    assert_eq!(fleet.snapshot(&name("other")).await.unwrap()[&world.settings.name], None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ipv6_all_the_way(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let local = std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
    if std::net::TcpListener::bind((local, 0)).is_err() {
        eprintln!("SKIPPED: there is no IPv6 here");
        return;
    }
    let mut world = world!(kind);
    let http = std::net::SocketAddr::new(local, world.http().port());
    world.settings.http = Some(http);
    let fleet = world.fleet().await;
    let blue = Instance::start_at("blue", local).await;
    let green = Instance::start_at("green", local).await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let load = Load::start(http, HOST, 1, 1);
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    within(10, fleet.drained(&name("books"), Blue)).await.unwrap();
    blue.kill().await;
    let third = Instance::start_at("third", local).await;
    fleet.refresh(&name("books"), Green, &[green.backend(), third.backend()]).await.unwrap();
    fleet.refresh(&name("books"), Green, &[third.backend()]).await.unwrap();
    assert_eq!(get(http, HOST, "/").await.unwrap().body, "third");
    assert_eq!(load.stop().await.lost, Vec::<String>::new());
    assert!(fleet.status()[0].in_sync, "{:?}", fleet.status());
}

/// A certificate that is gone for a moment, or by mistake, takes HTTPS from nobody who has it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_lost_is_told_of_and_costs_no_reload(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let before = reloads(&fleet);
    let (path, aside) = (world.path("certificates/example.pem"), world.path("aside.pem"));
    std::fs::rename(&path, &aside).unwrap();
    let told = problem(&fleet, &format!("`{HOST}`")).await;
    assert!(told.contains("no certificate"), "{told}");
    assert_eq!(curl(&world, HOST, &[]).await, (true, "blue".to_owned()));
    std::fs::rename(&aside, &path).unwrap();
    well(&fleet).await;
    assert_eq!(fleet.status()[0].problem, None);
    assert_eq!((curl(&world, HOST, &[]).await.1.as_str(), reloads(&fleet)), ("blue", before));
}
