# A Consul server for one node. Verdigris needs no more of it than the HTTP API.
server           = true
bootstrap_expect = 1
data_dir         = "/consul/data"
bind_addr        = "0.0.0.0"
client_addr      = "0.0.0.0"

# The only server talks to nobody but itself. In a Swarm it has several addresses, others after each
# restart, and Consul refuses to choose one.
advertise_addr = "127.0.0.1"

# Whoever can reach port 8500 can change what the proxies serve. Where others can, switch ACLs on,
# make a token for Verdigris and name its file as `token_file` in verdigris.toml.
acl {
  enabled        = false
  default_policy = "deny"
}
