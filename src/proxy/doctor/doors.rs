//! Whether the proxy's listeners are its own, and not another process's on the same port.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Doctor;
use crate::deploy::control::Severity;
use crate::proxy::apart::apart;
use crate::proxy::keeper::Keeper;
use crate::proxy::listener::{self, Listener, Process};

/// A listener on the same network answers within this.
const REACHED: Duration = Duration::from_secs(2);

impl Doctor {
    /// Each address that `keeper`'s proxy listens on, when it does (`runs`).
    pub(super) async fn doors(&mut self, keeper: &Keeper, runs: bool) {
        let settings = keeper.settings();
        for door in [settings.http_door(), settings.https_door()].into_iter().flatten() {
            match reached(door).await {
                Ok(()) => self.door(keeper, door, runs).await,
                Err(why) => {
                    let remedy = "compare `http` and `https` with the addresses that the template listens on";
                    self.bad(format!("{door} cannot be reached: {why}"), Some(remedy.to_owned()));
                }
            }
        }
        if reached(settings.status).await.is_ok()
            && let Listener::Other(process) = self.listener(keeper, settings.status, runs).await
        {
            self.taken(settings.status, &process);
        }
    }

    /// Somebody listens: the proxy?
    async fn door(&mut self, keeper: &Keeper, door: SocketAddr, runs: bool) {
        match self.listener(keeper, door, runs).await {
            Listener::Own => {}
            Listener::Other(process) => self.taken(door, &process),
            Listener::Unseen if runs => {
                if let Some(Err(error)) = keeper.proved_at(door).await {
                    let message = format!("{door} may belong to somebody else: {error}");
                    self.note(Severity::Warning, message, error.remedy());
                }
            }
            Listener::Unseen => {
                let message = format!(
                    "{door} is listened on, though the proxy is not seen to run: somebody else may have it"
                );
                self.bad(message, Some(remedy(door)));
            }
        }
    }

    async fn listener(&mut self, keeper: &Keeper, address: SocketAddr, runs: bool) -> Listener {
        let own = keeper.pids().await;
        if runs && own.is_empty() {
            return Listener::Unseen;
        }
        apart(move || listener::at(address, &own)).await.unwrap_or(Listener::Unseen)
    }

    fn taken(&mut self, address: SocketAddr, process: &Process) {
        self.bad(format!("{address} is taken by {process}"), Some(remedy(address)));
    }
}

fn remedy(address: SocketAddr) -> String {
    format!("stop what listens on {address} and start the proxy, or give the proxy another address")
}

async fn reached(address: SocketAddr) -> Result<(), String> {
    match timeout(REACHED, TcpStream::connect(address)).await {
        Ok(connected) => connected.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}
