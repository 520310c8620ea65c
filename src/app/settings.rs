//! The configuration's words in each adapter's own.

use std::path::Path;

use crate::config;
use crate::docker;
use crate::proxy;
use crate::registry::consul;

/// Under the state directory: what the keepers have applied.
const PROXIES: &str = "proxies";

pub fn engine(engine: &config::Engine) -> docker::Settings {
    docker::Settings {
        host: engine.host.clone(),
        tls: engine
            .tls
            .as_ref()
            .map(|tls| docker::TlsFiles { ca: tls.ca.clone(), client: tls.identity.clone() }),
        docker_config: engine.docker_config.clone(),
    }
}

pub fn consul(registry: &config::Consul) -> consul::Settings {
    consul::Settings {
        address: registry.address.clone(),
        token_file: registry.token_file.clone(),
        ca: registry.tls.as_ref().and_then(|tls| tls.ca.clone()),
        identity: registry.tls.as_ref().and_then(|tls| tls.identity.clone()),
        prefix: registry.prefix.clone(),
        datacenter: registry.datacenter.clone(),
    }
}

pub fn proxy(settings: &config::Proxy, state: &Path) -> proxy::Settings {
    let proxy = settings.clone();
    proxy::Settings {
        state: state.join(PROXIES).join(&proxy.name),
        name: proxy.name,
        kind: match proxy.kind {
            config::ProxyKind::Nginx => proxy::Kind::Nginx,
            config::ProxyKind::Haproxy => proxy::Kind::Haproxy,
        },
        template: proxy.template,
        output: proxy.output,
        flags: proxy.flags,
        map: proxy.map,
        check: proxy.check,
        reload: proxy.reload,
        pid_file: proxy.pid_file,
        master_socket: proxy.master_socket,
        runtime_socket: proxy.runtime_socket,
        status: proxy.status,
        http: proxy.http,
        https: proxy.https,
        ca: proxy.ca,
        certificates: proxy.certificates,
        user: proxy.user,
    }
}
