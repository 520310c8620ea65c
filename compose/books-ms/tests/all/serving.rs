//! What a sound service does.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Service;

#[test]
fn every_answer_says_who_gave_it() {
    let service = Service::start(&[("BOOKS_EDITION", "1.0")]);
    for path in ["/health", "/version", "/api/v1/books", "/api/v1/books/version", "/nowhere"] {
        let answer = service.get(path);
        assert!(answer.text.contains("x-books-colour: green\r\n"), "{path}: {answer:?}");
        assert!(answer.text.contains("x-books-release: r7\r\n"), "{path}: {answer:?}");
        assert!(answer.text.contains("x-books-edition: 1.0\r\n"), "{path}: {answer:?}");
    }
    assert_eq!(service.status("/nowhere"), 404);
    let books = service.get("/api/v1/books");
    assert!(books.text.contains("Middlemarch") && books.text.contains(r#""release":"r7""#));
}

#[test]
fn a_delay_delays() {
    let service = Service::start(&[]);
    let asked = Instant::now();
    assert_eq!(service.status("/api/v1/books?delay=300"), 200);
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!(service.status("/api/v1/books?delay=soon"), 400);
}

#[test]
fn a_stream_counts_its_lines() {
    let service = Service::start(&[]);
    let answer = service.get("/api/v1/books/stream?seconds=1");
    assert!(answer.text.contains("transfer-encoding: chunked"), "{answer:?}");
    for number in 0..10 {
        assert!(answer.text.contains(&format!("\n{number} green r7\n")), "{answer:?}");
    }
}

#[test]
fn a_web_socket_is_offered() {
    let service = Service::start(&[]);
    let address = service.address;
    let (status, _) = {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = "GET /api/v1/books/ws HTTP/1.1\r\nHost: books\r\nConnection: upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (String::from_utf8_lossy(&status).into_owned(), stream)
    };
    assert_eq!(status, "HTTP/1.1 101");
}

#[test]
fn what_is_in_flight_is_finished_after_sigterm() {
    let mut service = Service::start(&[]);
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| service.get("/api/v1/books?delay=500"));
        std::thread::sleep(Duration::from_millis(200));
        service.terminate();
        asking.join().unwrap()
    });
    assert_eq!(answer.status, 200);
    assert!(service.exit().success());
}

#[test]
fn the_health_check_asks_the_service() {
    let service = Service::start(&[]);
    let port = service.address.port().to_string();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_books-ms"));
        command.arg("health").env("BOOKS_PORT", &port).output().unwrap()
    };
    assert!(check().status.success());
    drop(service);
    assert!(!check().status.success());
}
