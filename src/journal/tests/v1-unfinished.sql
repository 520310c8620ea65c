PRAGMA user_version = 1;
CREATE TABLE deployments (
        id       TEXT PRIMARY KEY,          -- sorts by the time it was made
        service  TEXT NOT NULL,
        next     INTEGER NOT NULL,          -- position of the record to come
        outcome  TEXT                       -- the last record's, if that is an end
    ) WITHOUT ROWID;
CREATE INDEX deployments_of_service ON deployments (service, id);
CREATE INDEX unfinished ON deployments (id) WHERE outcome IS NULL;
CREATE TABLE records (
        deployment  TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE,
        seq         INTEGER NOT NULL,
        at          TEXT NOT NULL,
        version     INTEGER NOT NULL,       -- of the body's form
        body        TEXT NOT NULL,
        PRIMARY KEY (deployment, seq)
    );
CREATE TABLE quarantine (
        deployment  TEXT NOT NULL,
        seq         INTEGER NOT NULL,
        at          TEXT NOT NULL,
        version     INTEGER NOT NULL,
        body        BLOB NOT NULL,
        problem     TEXT NOT NULL,
        PRIMARY KEY (deployment, seq)
    );
CREATE TABLE events (
        deployment  TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE,
        seq         INTEGER NOT NULL,
        body        TEXT NOT NULL,
        PRIMARY KEY (deployment, seq)
    ) WITHOUT ROWID;
CREATE TABLE sequences (
        service  TEXT PRIMARY KEY,
        highest  INTEGER NOT NULL           -- u64, kept as its two's complement
    ) WITHOUT ROWID;
CREATE TABLE meta (
        key    TEXT PRIMARY KEY,
        value  TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO deployments VALUES ('01a1fbf59c4a718a8dd0566fd5027f23','books-ms',19,NULL);
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',0,'2026-11-21T02:35:40.0Z',1,'{"record":"opened","request":{"kind":"deploy","draft":{"service":"books-ms","image":"127.0.0.1:5000/books-ms:1.0","workload":{"entrypoint":null,"command":["serve"],"environment":{"DB_HOST":"books-db"},"labels":{},"service_labels":{},"healthcheck":{"test":["CMD","/books-ms","health"],"interval":"1s","timeout":"1s","start_period":null,"retries":3},"networks":[{"name":"backend","aliases":[]}],"secrets":[{"name":"db_password","target":"db_password","uid":"0","gid":"0","mode":292}],"configs":[],"mounts":[],"ulimits":[],"user":null,"groups":[],"working_dir":null,"hostname":null,"init":null,"tty":false,"stdin_open":false,"read_only":false,"cap_add":[],"cap_drop":[],"sysctls":{},"dns":[],"dns_search":[],"dns_options":[],"extra_hosts":[],"stop_signal":null,"stop_grace_period":null,"logging":null,"replicas":2,"placement":{"constraints":["node.labels.zone == prod"],"spread":[],"max_replicas_per_node":null},"resources":{"limits":{"nano_cpus":500000000,"memory":134217728,"pids":null},"reservations":{"nano_cpus":null,"memory":null,"pids":null}},"restart_policy":null},"policy":{"port":8080,"publish":"host","route":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"gates":{"pre_deployment":[{"name":"container-1","check":{"container":{"image":"books-ms-tests","entrypoint":null,"command":null,"env":{"SUITE":"unit"},"networks":[]}},"timeout":"10m"}],"pre_integration":[{"name":"http-1","check":{"http":{"method":"GET","path":"/health","status":200,"body":"ok","headers":{},"max_time":null,"attempts":1}},"timeout":"5m"}],"post_integration":[{"name":"command-1","check":{"command":{"argv":["smoke","--all"],"env":{}}},"timeout":"5m"}]},"stable_for":"2s","approve":null,"bake":null,"drain":"30s","retain":{"releases":1,"scale":0,"for":"1h"},"deadline":"15m"}},"sequence":7,"on_busy":"wait","on_disconnect":"revert","deadline":"10m","force":false,"by":"tester"}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',1,'2026-11-21T02:35:40.1Z',1,'{"record":"began","step":"prepare"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',2,'2026-11-21T02:35:40.2Z',1,'{"record":"done","step":"prepare","result":{"result":"prepared","release":{"id":"83847a6ce168","service":"books-ms","image":{"repository":"127.0.0.1:5000/books-ms","tag":"1.0","digest":"sha256:abababababababababababababababababababababababababababababababab"},"workload":{"entrypoint":null,"command":["serve"],"environment":{"DB_HOST":"books-db"},"labels":{},"service_labels":{},"healthcheck":{"test":["CMD","/books-ms","health"],"interval":"1s","timeout":"1s","start_period":null,"retries":3},"networks":[{"name":"backend","aliases":[]}],"secrets":[{"name":"db_password","target":"db_password","uid":"0","gid":"0","mode":292}],"configs":[],"mounts":[],"ulimits":[],"user":null,"groups":[],"working_dir":null,"hostname":null,"init":null,"tty":false,"stdin_open":false,"read_only":false,"cap_add":[],"cap_drop":[],"sysctls":{},"dns":[],"dns_search":[],"dns_options":[],"extra_hosts":[],"stop_signal":null,"stop_grace_period":null,"logging":null,"replicas":2,"placement":{"constraints":["node.labels.zone == prod"],"spread":[],"max_replicas_per_node":null},"resources":{"limits":{"nano_cpus":500000000,"memory":134217728,"pids":null},"reservations":{"nano_cpus":null,"memory":null,"pids":null}},"restart_policy":null},"policy":{"port":8080,"publish":"host","route":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"gates":{"pre_deployment":[{"name":"container-1","check":{"container":{"image":"books-ms-tests","entrypoint":null,"command":null,"env":{"SUITE":"unit"},"networks":[]}},"timeout":"10m"}],"pre_integration":[{"name":"http-1","check":{"http":{"method":"GET","path":"/health","status":200,"body":"ok","headers":{},"max_time":null,"attempts":1}},"timeout":"5m"}],"post_integration":[{"name":"command-1","check":{"command":{"argv":["smoke","--all"],"env":{}}},"timeout":"5m"}]},"stable_for":"2s","approve":null,"bake":null,"drain":"30s","retain":{"releases":1,"scale":0,"for":"1h"},"deadline":"15m"}},"colour":"green","live":"blue","running":false,"before":{"swarm":{"blue":{"name":"books-ms-blue","spec":{"Mode":{"Replicated":{"Replicas":2}},"Name":"books-ms-blue"}},"green":null},"registry":{"instances":{"t1":{"instance":{"task":"t1","node":"n1","address":"10.0.0.7:32768"},"colour":"blue","standing":"live","release":"83847a6ce168","image":"127.0.0.1:5000/books-ms@sha256:abababababababababababababababababababababababababababababababab"}},"colour":"blue","route":{"generation":3,"rule":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"weights":{"blue":100,"green":0},"releases":{"blue":"83847a6ce168"}}},"proxies":{"edge":{"service":"books-ms","rule":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"live":"blue","generation":3,"backends":{"blue":[{"task":"t1","address":"10.0.0.7:32768"}]}},"other":null}}}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',3,'2026-11-21T02:35:40.3Z',1,'{"record":"began","step":"pre-deployment"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',4,'2026-11-21T02:35:40.4Z',1,'{"record":"done","step":"pre-deployment","result":{"result":"nothing"}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',5,'2026-11-21T02:35:40.5Z',1,'{"record":"began","step":"start"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',6,'2026-11-21T02:35:40.6Z',1,'{"record":"done","step":"start","result":{"result":"nothing"}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',7,'2026-11-21T02:35:40.7Z',1,'{"record":"began","step":"await"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',8,'2026-11-21T02:35:40.8Z',1,'{"record":"done","step":"await","result":{"result":"running","instances":[{"task":"t1","node":"n1","address":"10.0.0.7:32768"}]}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',9,'2026-11-21T02:35:40.9Z',1,'{"record":"began","step":"register"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',10,'2026-11-21T02:35:41.0Z',1,'{"record":"began","step":"stage"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',11,'2026-11-21T02:35:41.1Z',1,'{"record":"began","step":"pre-integration"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',12,'2026-11-21T02:35:41.2Z',1,'{"record":"done","step":"register","result":{"result":"nothing"}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',13,'2026-11-21T02:35:41.3Z',1,'{"record":"done","step":"stage","result":{"result":"nothing"}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',14,'2026-11-21T02:35:41.4Z',1,'{"record":"done","step":"pre-integration","result":{"result":"nothing"}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',15,'2026-11-21T02:35:41.5Z',1,'{"record":"done","step":"approve","result":{"result":"skipped","why":"not asked for"}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',16,'2026-11-21T02:35:41.6Z',1,'{"record":"began","step":"switch"}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',17,'2026-11-21T02:35:41.7Z',1,'{"record":"done","step":"switch","result":{"result":"switched","micros":1234}}');
INSERT INTO records VALUES ('01a1fbf59c4a718a8dd0566fd5027f23',18,'2026-11-21T02:35:41.8Z',1,'{"record":"began","step":"post-integration"}');
INSERT INTO sequences VALUES ('books-ms',7);
