PRAGMA user_version = 2;
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
CREATE TABLE summaries (
        deployment  TEXT PRIMARY KEY REFERENCES deployments ON DELETE CASCADE,
        records     INTEGER NOT NULL,       -- of the journal that it tells; it counts while these are all
        form        INTEGER NOT NULL,       -- of the body
        body        TEXT NOT NULL
    ) WITHOUT ROWID;
CREATE INDEX committed ON deployments (service, id) WHERE outcome = 'committed';
INSERT INTO deployments VALUES ('01a22387a15373eb894a4a9a88448402','books-ms',1,NULL);
INSERT INTO deployments VALUES ('01a22387a1587616a99f8543cb76bef2','books-ms',2,'reverted');
INSERT INTO deployments VALUES ('01a22387a16c75058b7a38dcfbd28e53','books-ms',17,'reverted');
INSERT INTO records VALUES ('01a22387a15373eb894a4a9a88448402',0,'2026-11-28T19:00:20.95026975Z',1,'{"record":"opened","request":{"kind":"rollback","service":"books-ms","release":null,"sequence":41,"on_busy":"wait","on_disconnect":"revert","deadline":null,"force":false,"by":"tester"}}');
INSERT INTO records VALUES ('01a22387a1587616a99f8543cb76bef2',0,'2026-11-28T19:00:20.953633785Z',1,'{"record":"opened","request":{"kind":"rollback","service":"books-ms","release":null,"sequence":7,"on_busy":"wait","on_disconnect":"revert","deadline":null,"force":false,"by":"tester"}}');
INSERT INTO records VALUES ('01a22387a1587616a99f8543cb76bef2',1,'2026-11-28T19:00:20.953689163Z',1,'{"record":"ended","outcome":{"end":"reverted","failure":{"step":"start","kind":"start","message":"no such image","details":[],"remedy":null}}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',0,'2026-11-28T19:00:20.982739351Z',1,'{"record":"opened","request":{"kind":"deploy","draft":{"service":"books-ms","image":"127.0.0.1:5000/books-ms:1.0","workload":{"entrypoint":null,"command":["serve"],"environment":{"DB_HOST":"books-db"},"labels":{},"service_labels":{},"healthcheck":{"test":["CMD","/books-ms","health"],"interval":"1s","timeout":"1s","start_period":null,"retries":3},"networks":[{"name":"backend","aliases":[]}],"secrets":[{"name":"db_password","target":"db_password","uid":"0","gid":"0","mode":292}],"configs":[],"mounts":[],"ulimits":[],"user":null,"groups":[],"working_dir":null,"hostname":null,"init":null,"tty":false,"stdin_open":false,"read_only":false,"cap_add":[],"cap_drop":[],"sysctls":{},"dns":[],"dns_search":[],"dns_options":[],"extra_hosts":[],"stop_signal":null,"stop_grace_period":null,"logging":null,"replicas":2,"placement":{"constraints":["node.labels.zone == prod"],"spread":[],"max_replicas_per_node":null},"resources":{"limits":{"nano_cpus":500000000,"memory":134217728,"pids":null},"reservations":{"nano_cpus":null,"memory":null,"pids":null}},"restart_policy":null},"policy":{"port":8080,"publish":"host","route":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"gates":{"pre_deployment":[{"name":"container-1","check":{"container":{"image":"books-ms-tests","entrypoint":null,"command":null,"env":{"SUITE":"unit"},"networks":[]}},"timeout":"10m"}],"pre_integration":[{"name":"http-1","check":{"http":{"method":"GET","path":"/health","status":200,"body":"ok","headers":{},"max_time":null,"attempts":1}},"timeout":"5m"}],"post_integration":[{"name":"command-1","check":{"command":{"argv":["smoke","--all"],"env":{}}},"timeout":"5m"}]},"stable_for":"2s","approve":null,"bake":null,"drain":"30s","retain":{"releases":1,"scale":0,"for":"1h"},"deadline":"15m"}},"sequence":7,"on_busy":"wait","on_disconnect":"revert","deadline":"10m","force":false,"by":"tester"}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',1,'2026-11-28T19:00:20.990062805Z',1,'{"record":"began","step":"prepare"}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',10,'2026-11-28T19:00:21.026105217Z',1,'{"record":"stopped","failure":{"step":"start","kind":"start","message":"no such image","details":[],"remedy":null}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',11,'2026-11-28T19:00:21.029967682Z',1,'{"record":"taken-over","failure":{"step":"start","kind":"start","message":"no such image","details":[],"remedy":null}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',12,'2026-11-28T19:00:21.034107301Z',1,'{"record":"undoing","step":"start"}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',13,'2026-11-28T19:00:21.038018167Z',1,'{"record":"undone","step":"start"}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',14,'2026-11-28T19:00:21.043783358Z',1,'{"record":"stuck","problem":{"step":"start","kind":"start","message":"no such image","details":[],"remedy":null}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',15,'2026-11-28T19:00:21.046094614Z',1,'{"record":"retried","by":"operator"}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',16,'2026-11-28T19:00:21.049980674Z',1,'{"record":"ended","outcome":{"end":"reverted","failure":{"step":"start","kind":"start","message":"no such image","details":[],"remedy":null}}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',2,'2026-11-28T19:00:20.994383484Z',1,'{"record":"done","step":"prepare","result":{"result":"prepared","release":{"id":"83847a6ce168","service":"books-ms","image":{"repository":"127.0.0.1:5000/books-ms","tag":"1.0","digest":"sha256:abababababababababababababababababababababababababababababababab"},"workload":{"entrypoint":null,"command":["serve"],"environment":{"DB_HOST":"books-db"},"labels":{},"service_labels":{},"healthcheck":{"test":["CMD","/books-ms","health"],"interval":"1s","timeout":"1s","start_period":null,"retries":3},"networks":[{"name":"backend","aliases":[]}],"secrets":[{"name":"db_password","target":"db_password","uid":"0","gid":"0","mode":292}],"configs":[],"mounts":[],"ulimits":[],"user":null,"groups":[],"working_dir":null,"hostname":null,"init":null,"tty":false,"stdin_open":false,"read_only":false,"cap_add":[],"cap_drop":[],"sysctls":{},"dns":[],"dns_search":[],"dns_options":[],"extra_hosts":[],"stop_signal":null,"stop_grace_period":null,"logging":null,"replicas":2,"placement":{"constraints":["node.labels.zone == prod"],"spread":[],"max_replicas_per_node":null},"resources":{"limits":{"nano_cpus":500000000,"memory":134217728,"pids":null},"reservations":{"nano_cpus":null,"memory":null,"pids":null}},"restart_policy":null},"policy":{"port":8080,"publish":"host","route":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"gates":{"pre_deployment":[{"name":"container-1","check":{"container":{"image":"books-ms-tests","entrypoint":null,"command":null,"env":{"SUITE":"unit"},"networks":[]}},"timeout":"10m"}],"pre_integration":[{"name":"http-1","check":{"http":{"method":"GET","path":"/health","status":200,"body":"ok","headers":{},"max_time":null,"attempts":1}},"timeout":"5m"}],"post_integration":[{"name":"command-1","check":{"command":{"argv":["smoke","--all"],"env":{}}},"timeout":"5m"}]},"stable_for":"2s","approve":null,"bake":null,"drain":"30s","retain":{"releases":1,"scale":0,"for":"1h"},"deadline":"15m"}},"colour":"green","live":"blue","running":false,"before":{"swarm":{"blue":{"name":"books-ms-blue","spec":{"Mode":{"Replicated":{"Replicas":2}},"Name":"books-ms-blue"}},"green":null},"registry":{"instances":{"t1":{"instance":{"task":"t1","node":"n1","address":"10.0.0.7:32768"},"colour":"blue","standing":"live","release":"83847a6ce168","image":"127.0.0.1:5000/books-ms@sha256:abababababababababababababababababababababababababababababababab"}},"colour":"blue","route":{"generation":3,"rule":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"weights":{"blue":100,"green":0},"releases":{"blue":"83847a6ce168"}}},"proxies":{"edge":{"service":"books-ms","rule":{"hosts":["books.example.com"],"path":"/api/v1/books","tls":true},"live":"blue","generation":3,"backends":{"blue":[{"task":"t1","address":"10.0.0.7:32768"}]}},"other":null}},"tenure":0}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',3,'2026-11-28T19:00:20.998188651Z',1,'{"record":"done","step":"prepare","result":{"result":"unchanged"}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',4,'2026-11-28T19:00:21.001034719Z',1,'{"record":"done","step":"pre-deployment","result":{"result":"skipped","why":"nothing to test"}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',5,'2026-11-28T19:00:21.002242359Z',1,'{"record":"done","step":"start","result":{"result":"nothing"}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',6,'2026-11-28T19:00:21.010329179Z',1,'{"record":"done","step":"await","result":{"result":"running","instances":[{"task":"t1","node":"n1","address":"10.0.0.7:32768"}]}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',7,'2026-11-28T19:00:21.014113454Z',1,'{"record":"approved","by":"operator"}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',8,'2026-11-28T19:00:21.018315159Z',1,'{"record":"done","step":"switch","result":{"result":"switched","micros":1234}}');
INSERT INTO records VALUES ('01a22387a16c75058b7a38dcfbd28e53',9,'2026-11-28T19:00:21.021994463Z',1,'{"record":"failed","failure":{"step":"start","kind":"start","message":"no such image","details":[],"remedy":null}}');
INSERT INTO sequences VALUES ('books-ms',41);
INSERT INTO meta VALUES ('made-by','version 2');
INSERT INTO summaries VALUES ('01a22387a1587616a99f8543cb76bef2',2,1,'{"id":"01a22387a1587616a99f8543cb76bef2","service":"books-ms","kind":"rollback","by":"tester","sequence":7,"opened":"2026-11-28T19:00:20.953633785Z","ended":"2026-11-28T19:00:20.953689163Z","phase":"ended","colour":null,"previous":null,"release":null,"image":null,"steps":[{"step":"prepare","state":"pending","began":null,"ended":null},{"step":"pre-deployment","state":"pending","began":null,"ended":null},{"step":"start","state":"pending","began":null,"ended":null},{"step":"await","state":"pending","began":null,"ended":null},{"step":"register","state":"pending","began":null,"ended":null},{"step":"stage","state":"pending","began":null,"ended":null},{"step":"pre-integration","state":"pending","began":null,"ended":null},{"step":"approve","state":"pending","began":null,"ended":null},{"step":"switch","state":"pending","began":null,"ended":null},{"step":"post-integration","state":"pending","began":null,"ended":null},{"step":"bake","state":"pending","began":null,"ended":null},{"step":"commit","state":"pending","began":null,"ended":null},{"step":"drain","state":"pending","began":null,"ended":null},{"step":"retire","state":"pending","began":null,"ended":null}],"failure":null,"outcome":{"end":"reverted","failure":{"step":"start","kind":"start","message":"no such image","details":[],"remedy":null}},"switch_micros":null,"deadline":"2026-11-28T19:15:20.953633785Z"}');
