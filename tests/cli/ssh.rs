//! An engine behind `ssh://`: a script takes the place of `ssh`, first in the path.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::run::{finish, program};

const CONFIG: &str = "\
[daemon]
state = \"state\"
listen = [\"unix:verdigris.sock\"]
[swarm]
host = \"ssh://deploy@manager:2222\"
";

/// What the doctor finds where `ssh` is this script.
async fn examined(directory: &Path, ssh: &str, code: i32) -> Value {
    let path = directory.join("bin/ssh");
    std::fs::create_dir(directory.join("bin")).unwrap();
    std::fs::write(&path, ssh).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    examined_with(directory, &format!("{}/bin:/usr/bin:/bin", directory.display()), code).await
}

async fn examined_with(directory: &Path, path: &str, code: i32) -> Value {
    std::fs::write(directory.join("verdigris.toml"), CONFIG).unwrap();
    let arguments = ["doctor", "--config", "verdigris.toml", "--output", "json"];
    let child = program(directory).env("PATH", path).args(arguments).spawn().unwrap();
    finish(child).await.expect(code).json()
}

/// What is found of `subject`: how bad it is, and the words.
#[track_caller]
fn found(findings: &Value, subject: &str) -> (String, String) {
    let mut findings = findings.as_array().unwrap().iter();
    let finding = findings.find(|finding| finding["subject"] == subject).unwrap();
    let text = |key: &str| finding[key].as_str().unwrap().to_owned();
    (text("severity"), text("message"))
}

#[tokio::test]
async fn what_it_says_before_it_fails_is_told() {
    let key_refused = "\
#!/bin/sh
for n in 1 2 3 4 5 6 7 8 9; do echo \"line $n\" >&2; done
printf '\\033[31mHost key verification failed.\\033[0m\\r\\n' >&2
exit 255
";
    let no_docker = "#!/bin/sh\nread -r request\necho 'sh: docker: not found' >&2\nexit 127\n";
    let silent = "#!/bin/sh\nkill -9 $$\n";
    for (script, told) in [
        (
            key_refused,
            "`ssh` ended (exit status: 255): line 6; line 7; line 8; line 9; Host key verification failed.",
        ),
        (no_docker, "`ssh` ended (exit status: 127): sh: docker: not found"),
        (silent, "`ssh` ended (signal: 9 (SIGKILL)) and said nothing"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let findings = examined(directory.path(), script, 41).await;
        for subject in ["engine", "ci engine"] {
            let (severity, message) = found(&findings, subject);
            assert_eq!(severity, "bad", "{message}");
            assert!(message.ends_with(told), "{message}");
        }
    }
}

#[tokio::test]
async fn that_it_is_not_installed_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let findings = examined_with(directory.path(), "/nonexistent", 41).await;
    let (_, message) = found(&findings, "engine");
    assert!(message.contains("cannot start `ssh`: No such file"), "{message}");
}

/// An engine on a port of its own; what it is asked.
async fn engine() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let path = request.uri().path().to_owned();
                let body = Full::new(Bytes::from(answer(&path).to_string()));
                seen.lock().unwrap().push(path);
                async move { Ok::<_, Infallible>(Response::new(body)) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (port, asked)
}

fn answer(path: &str) -> Value {
    match path.rsplit('/').next().unwrap() {
        "version" => {
            json!({ "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24" })
        }
        "info" => json!({ "Swarm": { "LocalNodeState": "active", "ControlAvailable": true } }),
        _ => json!([]),
    }
}

/// More is written to standard error than a pipe holds, as by a long banner: nobody waits for that.
#[tokio::test]
async fn what_it_connects_is_spoken_to() {
    let directory = tempfile::tempdir().unwrap();
    let (port, asked) = engine().await;
    let script = format!(
        "#!/bin/bash\n\
         echo \"$*\" >> {}/arguments\n\
         yes 'a long banner' | head -n 20000 >&2\n\
         exec 3<>/dev/tcp/127.0.0.1/{port} 4<&0\n\
         cat <&4 >&3 &\n\
         exec cat <&3\n",
        directory.path().display()
    );
    let findings = examined(directory.path(), &script, 0).await;
    let engine = "Docker Engine 20.10.24 at `ssh://deploy@manager:2222` (API 1.41)";
    assert_eq!(found(&findings, "engine"), ("good".to_owned(), engine.to_owned()));
    assert_eq!(found(&findings, "ci engine"), ("good".to_owned(), engine.to_owned()));
    let nodes = "0 of 0 nodes ready and active";
    assert_eq!(found(&findings, "swarm"), ("good".to_owned(), nodes.to_owned()));
    assert!(asked.lock().unwrap().contains(&"/v1.41/nodes".to_owned()), "{asked:?}");
    let arguments = std::fs::read_to_string(directory.path().join("arguments")).unwrap();
    let usual = "-T -o BatchMode=yes -o ConnectTimeout=15 -l deploy -p 2222 -- manager docker system \
                 dial-stdio";
    assert!(arguments.lines().all(|line| line == usual), "{arguments}");
}
