//! Just enough of DNS to ask Consul's.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The addresses that `name` has, sorted; empty if it does not exist.
pub async fn addresses(server: SocketAddr, name: &str) -> Vec<Ipv4Addr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let query = query(name);
    socket.send_to(&query, server).await.unwrap();
    let mut answer = [0; 4096];
    let received = timeout(Duration::from_secs(5), socket.recv(&mut answer)).await;
    let length = received.expect("the DNS server answers").unwrap();
    let mut found = answers(&answer[..length], query.len());
    found.sort();
    found
}

/// A question for the A records of `name`.
fn query(name: &str) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// The A records after a question of `question` bytes, header included.
fn answers(message: &[u8], question: usize) -> Vec<Ipv4Addr> {
    let count = u16::from_be_bytes([message[6], message[7]]);
    let mut rest = &message[question..];
    let mut found = Vec::new();
    for _ in 0..count {
        // The name, as a pointer into the question or written out; then type, class, time, length.
        let name = match rest[0] {
            0xc0.. => 2,
            _ => rest.iter().position(|byte| *byte == 0).unwrap() + 1,
        };
        let (fixed, data) = rest[name..].split_at(10);
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        if fixed[..2] == [0, 1] {
            let octets: [u8; 4] = data[..4].try_into().unwrap();
            found.push(octets.into());
        }
        rest = &data[length..];
    }
    found
}
