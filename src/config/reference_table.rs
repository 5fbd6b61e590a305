//! Every key of the configuration: what it takes, its default and what it is for.
//!
//! The one table that the reader checks keys against, that suggestions come from, and that `transom check --keys`
//! prints: a key that is not here cannot be read, and one that is here is documented.

use std::fmt::Write;

use crate::wire::closest;

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// `[]` stands for the items of a list, `<name>` for a name of the user's choice.
    pub path: &'static str,
    pub takes: &'static str,
    /// In words or as one would write it; empty: the key must be there, or there is nothing when it is not.
    pub default: &'static str,
    pub about: &'static str,
    /// What else people call it (other products' words), for suggestions.
    pub also: &'static [&'static str],
}

const fn key(path: &'static str, takes: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { path, takes, default, about, also: &[] }
}

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("listeners", "list of tables", "one on 127.0.0.1:8080", "addresses to serve; every protocol on each").also(&["listen", "server", "servers", "bind"]),
    key("listeners[].address", "IP:PORT", "", "as in 127.0.0.1:8080 or [::]:8443").also(&["listen", "bind", "addr", "port", "host"]),
    key("listeners[].tls", "table", "clear text", "serve TLS, and TLS only unless `plaintext: also`").also(&["ssl", "https"]),
    key("listeners[].tls.certificate", "FILE", "", "certificate chain, PEM").also(&["cert", "cert_file", "cert_chain", "certificate_chain", "crt", "chain"]),
    key("listeners[].tls.key", "FILE", "", "its private key, PEM").also(&["key_file", "private_key", "keyfile"]),
    key("listeners[].tls.client_ca", "FILE", "callers need no certificate", "authorities, PEM; callers must show a certificate of theirs").also(&["ca", "ca_file", "trusted_ca", "client_ca_file"]),
    key("listeners[].tls.sni", "list of tables", "", "more certificates, by server name").also(&["certificates", "hosts"]),
    key("listeners[].tls.sni[].names", "one or a list", "", "server names, as in a.example or *.b.example").also(&["name", "host", "hosts", "server_name", "server_names", "domains"]),
    key("listeners[].tls.sni[].certificate", "FILE", "", "certificate chain, PEM").also(&["cert", "cert_file", "certificate_chain", "crt", "chain"]),
    key("listeners[].tls.sni[].key", "FILE", "", "its private key, PEM").also(&["key_file", "private_key"]),
    key("listeners[].tls.plaintext", "also | refuse", "refuse", "whether clear text is served on the same port; not with `client_ca`").also(&["cleartext", "clear_text", "h2c"]),
    key("listeners[].max_connections", "number", "65536", "connections at once; 0: no limit").also(&["connections", "connection_limit"]),
    key("listeners[].header_timeout", "duration", "10s", "for a caller to greet (TLS, HTTP/2 preface), and for the head of a request").also(&["read_timeout", "read_header_timeout", "request_timeout", "handshake_timeout"]),
    key("listeners[].idle_timeout", "duration", "10m", "how long a connection without a call stays open").also(&["keep_alive", "keepalive_timeout"]),
    key("listeners[].max_age", "duration", "1h", "how long a connection stays open; calls in flight end in peace").also(&["max_connection_age", "max_connection_duration"]),
    key("listeners[].max_concurrent_streams", "number", "256", "calls at once on one HTTP/2 connection").also(&["max_streams", "streams"]),
    key("listeners[].max_header_bytes", "size", "32KiB", "a request's head").also(&["max_headers", "max_header_size", "max_header_list_size"]),
    key("listeners[].websocket", "table", "", "calls over WebSocket").also(&["websockets", "ws"]),
    key("listeners[].websocket.enabled", "true | false", "true", "whether handshakes are answered").also(&["enable"]),
    key("listeners[].websocket.ping_interval", "duration", "30s", "between pings; a socket that answers none for two of them is dropped").also(&["interval", "keep_alive", "ping"]),

    key("admin", "table", "none", "the operator's own listener: /healthz, /readyz, /metrics").also(&["management", "metrics"]),
    key("admin.address", "IP:PORT", "", "as in 127.0.0.1:9901").also(&["listen", "bind", "addr", "port"]),
    key("workers", "number", "as many as cores", "threads that serve").also(&["threads", "worker_processes", "concurrency"]),
    key("drain_timeout", "duration", "10s", "how long calls in flight may go on once the process is told to stop").also(&["shutdown_timeout", "grace_period", "drain"]),

    key("zone", "NAME", "none", "where this edge stands: clusters call endpoints of the same zone first; as in ${ZONE}").also(&["availability_zone", "locality", "region"]),
    key("clusters", "tables by name", "none", "upstreams by name").also(&["upstreams", "upstream", "backends", "services"]),
    key("clusters.<name>.endpoints", "one or a list of URLs or tables", "", "h2c:// http:// grpc:// in clear text; h2s:// https:// grpcs:// over TLS").also(&["endpoint", "address", "addresses", "hosts", "servers", "urls", "url", "upstream"]),
    key("clusters.<name>.endpoints[].url", "URL", "", "h2c:// http:// grpc:// in clear text; h2s:// https:// grpcs:// over TLS").also(&["address", "endpoint", "target"]),
    key("clusters.<name>.endpoints[].weight", "number", "1", "its share of the calls, against the others'").also(&["load_balancing_weight", "share"]),
    key("clusters.<name>.endpoints[].priority", "number", "0", "those of a higher number are called for what the healthy ones before them cannot take").also(&["tier", "level", "backup"]),
    key("clusters.<name>.endpoints[].zone", "NAME", "none", "where it stands; of each priority, those in the edge's `zone` are called first").also(&["locality", "region", "availability_zone"]),
    key("clusters.<name>.balance", "p2c | round_robin | least_request | ring_hash", "p2c", "p2c: of two at random the one with fewer calls and quicker answers").also(&["lb_policy", "load_balancing", "policy", "algorithm", "balancer"]),
    key("clusters.<name>.hash_by", "table", "", "with ring_hash: calls that agree in this go to the same endpoint; one of the keys").also(&["hash_policy", "hash", "hash_on", "affinity"]),
    key("clusters.<name>.hash_by.header", "NAME", "", "a header of the caller").also(&["header_name", "metadata"]),
    key("clusters.<name>.hash_by.cookie", "NAME", "", "a cookie of the caller"),
    key("clusters.<name>.hash_by.field", "PATH", "", "a field of the first message, as order.id").also(&["message_field", "path"]),
    key("clusters.<name>.panic_threshold", "percent", "50", "with a smaller part healthy, all endpoints are called, whatever is known of them; 0: never").also(&["healthy_panic_threshold"]),
    key("clusters.<name>.slow_start", "duration", "0s", "for how long an endpoint that is new, or back, gets less than its share").also(&["warmup", "slow_start_window"]),
    key("clusters.<name>.subset_size", "number", "all endpoints", "how many endpoints of a tier each worker uses, where there are very many").also(&["subset", "aperture"]),
    key("clusters.<name>.ejection", "table", "", "endpoints whose calls fail get none for a while").also(&["outlier_detection", "passive_health", "breaker", "max_fails"]),
    key("clusters.<name>.ejection.enabled", "true | false", "true", "false: never").also(&["enable", "on", "off"]),
    key("clusters.<name>.ejection.consecutive", "number", "5", "failures in a row; 0: do not count these").also(&["consecutive_5xx", "consecutive_errors", "max_fails", "failures"]),
    key("clusters.<name>.ejection.success_rate", "percent", "50", "fewer successes within `window` eject too; 0: do not look at that").also(&["failure_percentage", "rate"]),
    key("clusters.<name>.ejection.window", "duration", "10s", "over which `success_rate` is taken").also(&["interval"]),
    key("clusters.<name>.ejection.min_calls", "number", "20", "with fewer calls in `window`, their rate says nothing").also(&["request_volume", "minimum_requests"]),
    key("clusters.<name>.ejection.time", "duration", "5s", "for how long, the first time; doubles with each in a row").also(&["base_ejection_time", "fail_timeout"]),
    key("clusters.<name>.ejection.max_time", "duration", "5m", "for how long at most").also(&["max_ejection_time"]),
    key("clusters.<name>.ejection.max_ejected", "percent", "30", "the part that may be out at once; one of two or more always may").also(&["max_ejection_percent"]),
    key("clusters.<name>.ejection.codes", "list of gRPC codes", "UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN, DATA_LOSS", "what counts as a failure when an endpoint says it; resets, lost connections and silence until the deadline always do").also(&["statuses", "status", "grpc_codes"]),
    key("clusters.<name>.limits", "table", "none", "what the cluster takes at once, over all workers; what is beyond is refused (OVERLOADED)").also(&["circuit_breaker", "circuit_breakers", "thresholds", "limit"]),
    key("clusters.<name>.limits.calls", "number", "no limit", "calls; 0 lets none through").also(&["max_requests", "concurrency", "max_calls"]),
    key("clusters.<name>.limits.pending", "number", "no limit", "calls that wait for a connection").also(&["max_pending_requests", "queue", "max_pending"]),
    key("clusters.<name>.limits.calls_per_endpoint", "number", "no limit", "calls on one endpoint; others are taken first").also(&["max_conns", "per_endpoint", "per_host_thresholds"]),
    key("clusters.<name>.connect_timeout", "duration", "5s", "to a connection that is ready, TLS included").also(&["timeout", "dial_timeout"]),
    key("clusters.<name>.max_connections", "number", "8", "per endpoint and worker").also(&["connections", "pool_size"]),
    key("clusters.<name>.keep_alive", "table", "", "HTTP/2 pings").also(&["keepalive", "ping"]),
    key("clusters.<name>.keep_alive.interval", "duration", "60s", "between pings").also(&["time", "every"]),
    key("clusters.<name>.keep_alive.timeout", "duration", "20s", "to the answer; then the connection is given up"),
    key("clusters.<name>.tls", "table", "", "for endpoints over TLS").also(&["ssl"]),
    key("clusters.<name>.tls.ca", "FILE", "the public authorities", "authorities to trust, PEM").also(&["ca_file", "client_ca", "root_ca", "trusted_ca", "roots"]),
    key("clusters.<name>.tls.certificate", "FILE", "none", "what to show to the upstream, PEM; with `key`").also(&["cert", "cert_file", "client_cert", "crt"]),
    key("clusters.<name>.tls.key", "FILE", "none", "its private key, PEM").also(&["key_file", "client_key", "private_key"]),
    key("clusters.<name>.tls.server_name", "NAME", "the endpoint's host", "the name to ask for and, unless `verify.san` is given, to check").also(&["sni", "hostname", "host"]),
    key("clusters.<name>.tls.verify", "table", "the name asked for", "what an upstream's certificate is checked for, besides who signed it").also(&["verification", "validation", "validation_context"]),
    key("clusters.<name>.tls.verify.san", "one or a list", "the name asked for", "names of which the certificate must have one, in place of the name asked for: books.example, *.books.example, 10.0.0.1, spiffe://domain/books, spiffe://domain/*").also(&["sans", "names", "subject_alt_names", "match_subject_alt_names", "match_typed_subject_alt_names", "spiffe_id"]),
    key("clusters.<name>.tls.min_version", "1.2 | 1.3", "1.2", "the oldest version of TLS that is spoken").also(&["minimum_version", "tls_minimum_protocol_version", "protocol", "protocols", "version"]),
    key("clusters.<name>.tls.insecure_skip_verify", "true | false", "false", "take every certificate, whoever signed it: for experiments, as anybody can stand in between").also(&["insecure", "skip_verify", "tls_skip_verify"]),
    key("clusters.<name>.authority", "HOST[:PORT]", "the endpoint's host and port", "`:authority` towards the upstream").also(&["host", "host_rewrite"]),
    key("clusters.<name>.discovery", "table, or dns:///NAME:PORT", "none", "in place of `endpoints`: where they come from; the last good set stays while the source fails").also(&["service_discovery", "resolve", "dns", "srv", "kubernetes", "eds"]),
    key("clusters.<name>.discovery.dns", "NAME", "", "the addresses of a name (A, AAAA), looked up again when their TTL has passed").also(&["name", "host", "hostname", "strict_dns"]),
    key("clusters.<name>.discovery.srv", "NAME", "", "the targets of a service, as _grpc._tcp.books.example, with their ports, weights and priorities").also(&["service", "dns_srv"]),
    key("clusters.<name>.discovery.file", "FILE", "", "a file that others write, looked at each second").also(&["path", "file_sd"]),
    key("clusters.<name>.discovery.file.endpoints", "in that file", "", "as a cluster's own `endpoints`").also(&["endpoint", "hosts", "servers", "urls", "targets"]),
    key("clusters.<name>.discovery.kubernetes", "SERVICE", "", "the EndpointSlices of a service; in builds with `--features kubernetes`").also(&["k8s", "endpoint_slices"]),
    key("clusters.<name>.discovery.port", "number | NAME", "80, or 443 with `tls`; of Kubernetes the only one", "of each address; a name with `kubernetes` alone, and none with `srv`").also(&["ports", "port_name"]),
    key("clusters.<name>.discovery.tls", "true | false", "false", "whether what is found speaks TLS; its certificate must have the name that is looked up").also(&["ssl", "secure"]),
    key("clusters.<name>.discovery.family", "any | ipv4 | ipv6", "any", "which addresses are taken").also(&["dns_lookup_family", "address_family", "families"]),
    key("clusters.<name>.discovery.resolvers", "one or a list of IP[:PORT]", "the system's", "name servers to ask").also(&["resolver", "nameservers", "name_servers", "servers"]),
    key("clusters.<name>.discovery.min_refresh", "duration", "5s", "answers are kept no shorter than this, and failed look-ups not repeated sooner, unless no endpoint answers").also(&["refresh", "interval", "dns_refresh_rate", "ttl"]),
    key("clusters.<name>.discovery.max_refresh", "duration", "5m", "answers are kept no longer than this").also(&["max_ttl", "valid"]),
    key("clusters.<name>.discovery.namespace", "NAME", "the pod's own", "of the service, in Kubernetes").also(&["ns"]),
    key("clusters.<name>.discovery.server", "URL", "the cluster's own", "the API server of Kubernetes, as https://10.0.0.1:6443").also(&["api_server", "api", "url"]),
    key("clusters.<name>.discovery.token", "FILE", "the service account's; none with `server`", "bearer token for the API server, read for each request").also(&["token_file", "bearer_token_file"]),
    key("clusters.<name>.discovery.ca", "FILE", "the service account's; the public ones with `server`", "authorities of the API server, PEM").also(&["ca_file"]),
    key("clusters.<name>.health", "table", "endpoints are not checked", "ask each endpoint by grpc.health.v1; `{}` takes every default").also(&["health_check", "health_checks", "healthcheck", "probe", "active_health", "checks"]),
    key("clusters.<name>.health.mode", "auto | watch | check | tcp", "auto", "auto: Watch, where that is UNIMPLEMENTED Check, where that is too a connection").also(&["type", "kind", "protocol"]),
    key("clusters.<name>.health.service", "NAME", "the server as a whole", "the service to ask for").also(&["service_name", "name"]),
    key("clusters.<name>.health.interval", "duration", "10s", "between checks, and pings of a watched endpoint").also(&["every", "period", "period_seconds"]),
    key("clusters.<name>.health.no_traffic_interval", "duration", "60s", "between checks while the cluster gets no calls and all is well").also(&["idle_interval"]),
    key("clusters.<name>.health.timeout", "duration", "2s", "for a check, connection included").also(&["timeout_seconds"]),
    key("clusters.<name>.health.healthy_threshold", "number", "1", "good checks in a row until an endpoint gets calls again").also(&["healthy", "rise", "success_threshold"]),
    key("clusters.<name>.health.unhealthy_threshold", "number", "2", "failed checks in a row until it gets none; what a watched server says of itself counts at once").also(&["unhealthy", "fall", "failure_threshold"]),
    key("clusters.<name>.health.jitter", "percent", "10", "how much longer a pause may be, by chance").also(&["interval_jitter", "interval_jitter_percent"]),
    key("clusters.<name>.retry_budget", "table", "", "how many requests may be sent twice, of all workers together").also(&["budget", "retries", "retry_throttling"]),
    key("clusters.<name>.retry_budget.ratio", "number", "0.2", "retries and hedges per call that might have some").also(&["percent", "budget_percent", "retry_ratio"]),
    key("clusters.<name>.retry_budget.min_per_second", "number", "10", "retries and hedges that are free, per second of the window").also(&["min_retries_per_second", "min_retry_concurrency", "min"]),
    key("clusters.<name>.retry_budget.window", "duration", "10s", "how long calls and retries count; 1s to 1h").also(&["ttl", "interval"]),

    key("catalogs", "list of tables", "none", "services, from .proto files, descriptor sets or reflection").also(&["catalog", "services", "protos", "schemas"]),
    key("catalogs[].name", "NAME", "", "for messages, metrics and settings"),
    key("catalogs[].proto_paths", "one or a list of DIRs", "", "import roots").also(&["proto_path", "import_paths", "imports", "includes", "roots"]),
    key("catalogs[].protos", "one or a list of FILEs", "every .proto under the roots", "files to compile").also(&["proto", "files", "proto_files"]),
    key("catalogs[].descriptor_sets", "one or a list of FILEs", "", "made by `protoc -o`, `buf build -o`, with their imports").also(&["descriptor_set", "descriptor", "descriptors", "proto_descriptor", "protoset"]),
    key("catalogs[].reflect", "true | table", "none", "take descriptors from the upstream's own reflection (grpc.reflection.v1, else v1alpha), besides the files above").also(&["reflection", "server_reflection"]),
    key("catalogs[].reflect.cluster", "NAME", "the catalog's cluster", "which of `clusters` to ask").also(&["backend", "service"]),
    key("catalogs[].reflect.upstream", "one or a list of URLs", "the catalog's cluster", "whom to ask in place of a cluster").also(&["endpoints", "endpoint", "url"]),
    key("catalogs[].reflect.services", "one or a list of pkg.Service, pkg.*, *, with ! what is left out", "all but reflection and health", "which services are taken; the longest pattern that fits counts").also(&["service_names", "include", "only"]),
    key("catalogs[].reflect.refresh", "duration", "60s", "how often it is asked again; 0s: at start and at reloads only").also(&["interval", "every", "refresh_interval", "poll"]),
    key("catalogs[].reflect.pin", "FILE", "none", "a descriptor set that is the truth, as `transom reflect --pin` writes it; the upstream is only compared with it").also(&["file", "lock", "snapshot", "path"]),
    key("catalogs[].reflect.drift", "report | refuse", "report", "instances that differ from one another or from the pin: log, count and show it, or do not start; a catalog in force stays").also(&["on_drift", "mismatch"]),
    key("catalogs[].reflect.timeout", "duration", "10s", "for all that is asked of one endpoint, connect included").also(&["deadline"]),
    key("catalogs[].reflect.wait", "duration", "15s", "how long a start waits for an upstream that cannot be reached; then it fails").also(&["start_timeout", "wait_for"]),
    key("catalogs[].cluster", "NAME", "", "which of `clusters` answers").also(&["backend", "service", "target"]),
    key("catalogs[].upstream", "one or a list of URLs", "", "in place of `cluster`: a cluster of its own, with all defaults").also(&["endpoints", "endpoint", "url"]),
    key("catalogs[].hosts", "table: services to hosts", "every host", "hosts under which services answer, as in \"library.v1.*\": [library.example]").also(&["host", "domains", "virtual_hosts"]),
    key("catalogs[].default_hosts", "true | false", "false", "services that `hosts` does not name answer under their google.api.default_host, if they have one").also(&["default_host"]),
    key("catalogs[].paths", "table", "", "how the paths of requests are read that may reach a rule").also(&["path_reading"]),
    key("catalogs[].paths.trailing_slash", "strict | lenient", "strict", "lenient: a path that reaches nothing is tried once more without its trailing slash").also(&["trailing", "trailing_slashes", "slash"]),
    key("catalogs[].paths.encoded_slash", "keep | decode", "keep", "%2F in variables of several segments: stays as it is (http.proto), or becomes a slash (fully_decode_reserved_expansion); in those of one segment it always does").also(&["url_unescape_spec", "unescape", "unescaping_mode", "fully_decode_reserved_expansion"]),
    key("catalogs[].rules", "list of tables", "none", "rules of google.api.http").also(&["http", "http_rules", "routes", "bindings"]),
    key("catalogs[].rules[].selector", "pkg.Service.Method | pkg.Service.* | pkg.* | *", "", "the method, or all below a name").also(&["method", "match", "rpc"]),
    key("catalogs[].rules[].get", "PATH", "", "GET, by a path template as in /v1/{name=shelves/*}").also(&["path"]),
    key("catalogs[].rules[].put", "PATH", "", "PUT"),
    key("catalogs[].rules[].post", "PATH", "", "POST"),
    key("catalogs[].rules[].delete", "PATH", "", "DELETE"),
    key("catalogs[].rules[].patch", "PATH", "", "PATCH"),
    key("catalogs[].rules[].custom", "table", "", "any other method of HTTP"),
    key("catalogs[].rules[].custom.kind", "METHOD | *", "", "as in HEAD; `*` for every method").also(&["method", "verb"]),
    key("catalogs[].rules[].custom.path", "PATH", "", "the path template").also(&["pattern", "template"]),
    key("catalogs[].rules[].body", "* | FIELD", "no body", "what the request's body fills"),
    key("catalogs[].rules[].response_body", "FIELD", "the whole answer", "the only field of the answer to print"),
    key("catalogs[].rules[].additional_bindings", "list of tables", "none", "more paths to the same method").also(&["additional", "bindings"]),
    key("catalogs[].rules[].add", "true | false", "false", "keep the method's annotations beside this rule"),
    key("catalogs[].rules[].additional_bindings[].get", "PATH", "", "GET").also(&["path"]),
    key("catalogs[].rules[].additional_bindings[].put", "PATH", "", "PUT"),
    key("catalogs[].rules[].additional_bindings[].post", "PATH", "", "POST"),
    key("catalogs[].rules[].additional_bindings[].delete", "PATH", "", "DELETE"),
    key("catalogs[].rules[].additional_bindings[].patch", "PATH", "", "PATCH"),
    key("catalogs[].rules[].additional_bindings[].custom", "table", "", "any other method of HTTP"),
    key("catalogs[].rules[].additional_bindings[].custom.kind", "METHOD | *", "", "as in HEAD; `*` for every method").also(&["method", "verb"]),
    key("catalogs[].rules[].additional_bindings[].custom.path", "PATH", "", "the path template").also(&["pattern", "template"]),
    key("catalogs[].rules[].additional_bindings[].body", "* | FIELD", "no body", "what the request's body fills"),
    key("catalogs[].rules[].additional_bindings[].response_body", "FIELD", "the whole answer", "the only field of the answer to print"),
    key("catalogs[].conflicts", "refuse | report", "refuse", "two rules of one shape: do not load, or leave both unrouted and say so"),
    key("catalogs[].auto_mapping", "true | false", "true", "POST /pkg.Service/Method with JSON reaches methods without a rule").also(&["auto_map", "automapping"]),
    key("catalogs[].unknown_methods", "refuse | pass", "refuse", "methods that the catalog does not have: UNIMPLEMENTED, or passed on as they are").also(&["passthrough", "unknown"]),
    key("catalogs[].settings", "table", "", "as an entry of `settings`, for this catalog's methods").also(&["limits"]),

    key("cors", "table", "browsers of other origins are refused", "which browsers of other origins may call; the protocols' own headers are filled in"),
    key("cors.origins", "one or a list", "", "as in https://app.example; \"*\" for every one").also(&["origin", "allow_origins", "allowed_origins", "allow_origin"]),
    key("cors.methods", "one or a list", "GET POST PUT PATCH DELETE HEAD OPTIONS", "methods of HTTP").also(&["allow_methods", "allowed_methods"]),
    key("cors.allow_headers", "one or a list", "none", "besides those of the protocols").also(&["headers", "allowed_headers"]),
    key("cors.expose_headers", "one or a list", "none", "besides those of the protocols").also(&["exposed_headers"]),
    key("cors.credentials", "true | false", "false", "allow cookies; not with origin \"*\"").also(&["allow_credentials"]),
    key("cors.max_age", "duration", "2h", "how long a browser may keep a preflight's answer"),

    key("openapi", "table", "", "what the OpenAPI document says beside what the catalogs do").also(&["swagger", "docs"]),
    key("openapi.title", "text", "the services", "the title").also(&["name"]),
    key("openapi.version", "text", "that of the packages", "the version of the API"),
    key("openapi.servers", "one or a list of URLs", "where the document comes from", "under which callers reach the edge").also(&["server", "urls", "url"]),
    key("openapi.security", "tables by name", "none", "what the services ask of callers, one of these: it is told, not checked").also(&["security_schemes", "auth", "authentication"]),
    key("openapi.security.<name>.type", "bearer | basic | api_key | openid | mutual_tls", "", "how callers say who they are").also(&["kind", "scheme"]),
    key("openapi.security.<name>.format", "text", "none", "of a bearer's token, as JWT").also(&["bearer_format"]),
    key("openapi.security.<name>.in", "header | query | cookie", "header", "where an API key is").also(&["place", "location"]),
    key("openapi.security.<name>.name", "NAME", "", "what an API key is called there").also(&["header", "parameter"]),
    key("openapi.security.<name>.url", "URL", "", "of OpenID Connect's discovery document").also(&["open_id_connect_url"]),

    key("routes", "list of tables", "all calls go to their catalog's cluster", "to which cluster calls go; the first that fits has the call").also(&["routing", "route", "traffic", "canary", "virtual_hosts"]),
    key("routes[].name", "NAME", "routes[N]", "what it is called in logs and counters"),
    key("routes[].match", "* | pkg.* | pkg.Service/* | pkg.Service/Method", "", "which methods, one or a list").also(&["selector", "method", "methods", "path"]),
    key("routes[].when", "table", "every call", "what a call must be like; all of it").also(&["if", "conditions", "matches"]),
    key("routes[].when.headers", "texts, lists or tables by name", "", "header fields or metadata; of names that end in -bin the bytes, in base64").also(&["header", "metadata"]),
    key("routes[].when.headers.<name>.equals", "one or a list", "", "one of these").also(&["exact", "is", "value", "values", "in", "base64"]),
    key("routes[].when.headers.<name>.hex", "one or a list", "", "one of these bytes, in hexadecimal; only of -bin names"),
    key("routes[].when.headers.<name>.prefix", "text", "", "what it begins with; of -bin names in base64").also(&["starts_with", "begins_with"]),
    key("routes[].when.headers.<name>.regex", "regular expression", "", "the whole value; not of -bin names").also(&["pattern", "safe_regex"]),
    key("routes[].when.headers.<name>.present", "true | false", "", "whether it is there").also(&["exists", "absent"]),
    key("routes[].when.hosts", "one or a list", "", "host names of the call, as shop.example or *.eu.example").also(&["host", "authority", "domains"]),
    key("routes[].when.identity", "table", "", "whom the caller's certificate names; a trailing * is for any end").also(&["caller", "client", "principal", "certificate"]),
    key("routes[].when.identity.subject", "one or a list", "", "common name of its subject").also(&["cn", "common_name"]),
    key("routes[].when.identity.dns", "one or a list", "", "alternative names that are host names").also(&["san", "dns_san"]),
    key("routes[].when.identity.uri", "one or a list", "", "alternative names that are URIs, as spiffe://prod.example/ns/shop/*").also(&["spiffe", "uri_san", "url"]),
    key("routes[].when.field", "table", "", "a field of the request's first message").also(&["message", "body"]),
    key("routes[].when.field.path", "FIELD", "", "names of fields with dots between, as shipment.region").also(&["name", "field"]),
    key("routes[].when.field.equals", "one or a list", "", "one of these; enums by name, bytes in base64").also(&["exact", "is", "value", "values", "in"]),
    key("routes[].when.field.prefix", "text", "", "what it begins with").also(&["starts_with", "begins_with"]),
    key("routes[].when.field.regex", "regular expression", "", "the whole text").also(&["pattern"]),
    key("routes[].when.field.present", "true | false", "", "whether it is set; without presence, to more than zero").also(&["exists", "absent", "set"]),
    key("routes[].when.percent", "0 to 100", "100", "so many of these calls").also(&["share", "fraction", "sample"]),
    key("routes[].cluster", "NAME", "the catalog's cluster", "who answers: one under `clusters`").also(&["upstream", "to", "target", "backend"]),
    key("routes[].clusters", "list of tables", "", "several, by weight, drawn for each call").also(&["weighted_clusters", "split", "weights", "targets", "upstreams"]),
    key("routes[].clusters[].cluster", "NAME", "", "one under `clusters`").also(&["name", "upstream", "to"]),
    key("routes[].clusters[].weight", "number", "1", "how many calls, beside the weights of the others"),
    key("routes[].rename", "pkg.v2.Service/Method | pkg.v2.Service/*", "the method's own", "how the upstream calls the method; messages stay those of the catalog's").also(&["rewrite", "method_rename", "path_rewrite", "prefix_rewrite"]),
    key("routes[].mirror", "table", "none", "a second cluster that gets the same calls; its answers are dropped").also(&["shadow", "request_mirror", "copy"]),
    key("routes[].mirror.cluster", "NAME", "", "one under `clusters`").also(&["upstream", "to"]),
    key("routes[].mirror.percent", "0 to 100", "100", "so many of the route's calls").also(&["share", "fraction", "sample"]),
    key("routes[].mirror.compare", "true | false", "false", "count whether status and messages are the same"),
    key("routes[].mirror.buffer", "size", "1MiB", "of a request may wait for it; a mirror that falls behind loses the call").also(&["max_buffer", "limit"]),
    key("routes[].fault", "table", "none", "what goes wrong on purpose, for tests").also(&["faults", "inject", "fault_injection", "abort"]),
    key("routes[].fault.percent", "0 to 100", "100", "so many of the route's calls").also(&["share", "fraction", "sample"]),
    key("routes[].fault.delay", "duration | LEAST..MOST", "none", "how much later, within the call's deadline").also(&["latency", "wait", "fixed_delay"]),
    key("routes[].fault.status", "gRPC code", "the call goes on", "what callers are told, as UNAVAILABLE").also(&["code", "grpc_status", "error"]),
    key("routes[].fault.message", "text", "a fault was injected", "with the status").also(&["text"]),
    key("routes[].fault.http", "400 to 599", "as the status says", "HTTP code of REST callers").also(&["http_status", "http_code"]),
    key("routes[].fault.when", "table", "every call of the route", "which callers ask for it").also(&["if"]),
    key("routes[].fault.when.headers", "texts, lists or tables by name", "", "as under the route's `when`").also(&["header", "metadata"]),

    key("settings", "list of tables", "none", "limits, deadlines and JSON forms of methods; the narrower match wins").also(&["limits", "methods", "defaults"]),
    key("settings[].match", "* | pkg.Service/* | pkg.Service/Method", "", "which methods").also(&["selector", "method", "path", "route"]),
    key("settings[].max_request_message", "size", "4MiB", "one message of a request; 0: no limit").also(&["max_message", "max_message_size", "max_request", "max_request_size", "max_recv_message_size"]),
    key("settings[].max_response_message", "size", "4MiB", "one message of an answer; 0: no limit").also(&["max_response", "max_response_size", "max_send_message_size"]),
    key("settings[].deadline", "table", "", "how long a call may take").also(&["timeout", "deadlines"]),
    key("settings[].deadline.default", "duration", "none", "for callers that give none").also(&["timeout"]),
    key("settings[].deadline.max", "duration", "none", "longer ones, and none, are cut down to it").also(&["maximum", "limit"]),
    key("settings[].idle_timeout", "duration", "none", "time without a message in either direction after which a stream ends").also(&["stream_idle_timeout", "idle"]),
    key("settings[].weave", "first | every", "first", "which messages of a client stream by a rule get what its path and query bind; the others are what their texts say").also(&["bind", "binding", "path_values"]),
    key("settings[].json", "table", "", "how JSON is read and written").also(&["print_options"]),
    key("settings[].json.unknown_fields", "refuse | ignore", "refuse", "fields that the message does not have").also(&["ignore_unknown", "unknown"]),
    key("settings[].json.unset_fields", "omit | print", "omit", "fields that are not set").also(&["always_print_primitive_fields", "emit_defaults", "emit_unpopulated", "unset"]),
    key("settings[].json.names", "json | proto", "json", "lowerCamelCase, or as in the .proto file").also(&["field_names", "preserve_proto_field_names", "use_proto_names"]),
    key("settings[].json.enums", "name | short | number", "name", "how enums are written; short: EUR for CURRENCY_EUR of Currency, which is then read as well").also(&["always_print_enums_as_ints", "enum", "enum_prefix", "remove_enum_prefix"]),
    key("settings[].json.int64", "string | number", "string", "how 64-bit integers are written; beyond 2^53-1 they stay strings").also(&["int64_as_number", "int64s", "longs", "always_print_longs_as_ints"]),
    key("settings[].json.bytes", "base64 | base64url | hex", "base64", "how bytes are written and read; hex is read where it is written only").also(&["bytes_form", "bytes_encoding", "binary"]),
    key("settings[].json.indent", "number", "0", "blanks per level in answers that are no streams, at most 8; 0: one line").also(&["add_whitespace", "pretty", "indentation", "multiline"]),
    key("settings[].compression", "table", "", "how messages are compressed, on either side").also(&["compress", "encoding"]),
    key("settings[].compression.upstream", "one or a list", "gzip", "encodings that the upstream reads; messages in these pass as they are, those in others are unpacked").also(&["upstream_encodings", "encodings"]),
    key("settings[].compression.answers_from", "size", "1KiB", "answers that the edge makes are compressed from this size on, for callers who accept it; 0: never").also(&["min_size", "min_length", "from"]),
    key("settings[].guard", "table", "", "messages against the schema, in every protocol").also(&["schema", "check", "schema_guard"]),
    key("settings[].guard.requests", "off | shadow | enforce", "off", "look not at all; count and log what breaks the schema; refuse it with the field's path").also(&["request", "mode"]),
    key("settings[].guard.responses", "off | shadow | enforce", "off", "the same for what the upstream answers").also(&["response", "answers"]),
    key("settings[].guard.unknown_fields", "pass | report | refuse", "pass", "field numbers that the schema does not have: fine, counted and logged, or a violation").also(&["unknown"]),
    key("settings[].guard.max_repeated", "number", "0", "elements of a repeated field, entries of a map; 0: no limit").also(&["max_elements", "max_items", "max_entries"]),
    key("settings[].guard.max_string", "size", "0", "bytes of one string; 0: no limit").also(&["max_string_size", "max_string_bytes"]),
    key("settings[].guard.max_bytes", "size", "0", "bytes of one bytes field; 0: no limit").also(&["max_bytes_size"]),
    key("settings[].guard.max_depth", "number", "100", "how deep messages may nest, the outermost not counted; at most 100").also(&["depth", "max_nesting"]),
    key("settings[].validate", "table", "", "messages by the rules of buf.validate that their types carry, in every protocol").also(&["validation", "protovalidate", "rules", "buf_validate"]),
    key("settings[].validate.requests", "off | shadow | enforce", "off", "look not at all; count and log what breaks rules; refuse it with every broken rule").also(&["request", "mode"]),
    key("settings[].validate.responses", "off | shadow | enforce", "off", "the same for what the upstream answers").also(&["response", "answers"]),
    key("settings[].idempotent", "true | false", "as idempotency_level says", "whether a call may be executed twice, whatever the schema says of it").also(&["idempotency", "idempotency_level", "safe", "repeatable"]),
    key("settings[].retry", "table", "", "when a request is sent again; one that the upstream never took up is in any case").also(&["retries", "retry_policy", "retrypolicy"]),
    key("settings[].retry.attempts", "1 to 10", "3", "of calls that may be executed twice, the first one included; 1: none beside it").also(&["max_attempts", "num_retries", "retries", "tries"]),
    key("settings[].retry.on", "one or a list of codes and reset", "UNAVAILABLE reset", "failures that are worth it, as in ABORTED; reset: streams that the upstream reset. Lost connections are UNAVAILABLE").also(&["retry_on", "codes", "statuses", "retryable_status_codes"]),
    key("settings[].retry.per_attempt_timeout", "duration", "none", "an attempt that has no answer by then is given up for another, while there may be one").also(&["per_try_timeout", "attempt_timeout", "timeout"]),
    key("settings[].retry.backoff", "table", "", "pauses between attempts, of random length").also(&["retry_back_off", "back_off", "delay"]),
    key("settings[].retry.backoff.first", "duration", "25ms", "at most so long before the second attempt, twice that before the third").also(&["initial", "base", "base_interval", "initial_backoff"]),
    key("settings[].retry.backoff.max", "duration", "250ms", "at most so long").also(&["cap", "max_interval", "max_backoff", "limit"]),
    key("settings[].retry.buffer", "size", "64KiB", "of a request is kept to be sent again; one that has more is sent once. At most 4MiB").also(&["replay", "replay_buffer", "per_request_buffer_limit_bytes", "max_request_bytes"]),
    key("settings[].hedge", "table", "", "when a request is sent twice at a time, for the first good answer; in place of `retry`").also(&["hedging", "hedge_policy", "hedging_policy"]),
    key("settings[].hedge.after", "duration", "never", "time without an answer after which another attempt is made beside it").also(&["delay", "hedging_delay", "initial_delay"]),
    key("settings[].hedge.attempts", "2 to 10", "2", "the first one included").also(&["max_attempts", "requests"]),
    key("settings[].hedge.on", "one or a list of codes and reset", "UNAVAILABLE reset", "failures after which the others go on, and the next is made at once").also(&["non_fatal", "non_fatal_status_codes", "codes"]),
    key("settings[].rest", "table", "", "what REST callers see").also(&["http", "restful"]),
    key("settings[].rest.success", "200 to 299", "200", "HTTP code of good answers that are no streams; with 204 they have no body").also(&["success_code", "code", "status", "http_code", "created"]),
    key("settings[].rest.location", "text", "none", "`Location` of good answers, with fields of them in braces, as /v1/{name}").also(&["location_header"]),
    key("settings[].rest.error_codes", "table: codes to HTTP codes", "as google.rpc.Code says", "HTTP codes of errors, as in NOT_FOUND: 410").also(&["errors", "status_codes", "http_codes"]),
    key("settings[].rest.response_headers", "one or a list | *", "*", "which metadata of the upstream become header fields of the answer").also(&["expose", "headers", "answer_headers", "outgoing_headers"]),
    key("settings[].rest.etag", "true | false", "false", "entity tags and If-None-Match for GET of methods that are NO_SIDE_EFFECTS").also(&["etags", "if_none_match"]),
    key("settings[].rest.cache_control", "text", "none", "`Cache-Control` of the same answers, as max-age=60").also(&["cache", "caching"]),
    key("settings[].rest.method_override", "true | false", "false", "whether X-HTTP-Method-Override of a POST counts").also(&["http_method_override", "override"]),
    key("settings[].rest.update_mask", "as_sent | fill", "as_sent", "fill: a PATCH without a field mask has it filled with the fields of its body").also(&["field_mask", "fill_mask", "patch", "allow_patch_feature"]),
    key("settings[].sse", "table", "", "streams as server-sent events, for callers who accept text/event-stream").also(&["events", "server_sent_events", "event_stream"]),
    key("settings[].sse.event", "text", "none", "type of all events").also(&["event_type", "type"]),
    key("settings[].sse.event_field", "FIELD", "none", "field of a message that has its event's type").also(&["event_type_field", "type_field"]),
    key("settings[].sse.id_field", "FIELD", "none", "field of a message that has its event's id").also(&["id", "event_id", "event_id_field"]),
    key("settings[].sse.retry", "duration", "none", "how long readers wait before they come again").also(&["reconnect"]),
    key("settings[].sse.heartbeat", "duration", "15s", "silence after which a comment keeps the stream alive").also(&["keep_alive", "keepalive", "interval"]),
    key("settings[].sse.last_event_id_field", "FIELD", "none", "field of the request that `Last-Event-ID` fills").also(&["last_event_id", "resume_field"]),
    key("settings[].sse.last_event_id_metadata", "NAME", "none", "metadata that `Last-Event-ID` goes upstream as").also(&["resume_metadata"]),
    key("settings[].connect", "table", "", "the Connect protocol"),
    key("settings[].connect.protocol_version", "optional | required", "optional", "whether calls must say `connect-protocol-version: 1`").also(&["require_protocol_version"]),
    key("settings[].query", "table", "", "how query parameters are read"),
    key("settings[].query.brackets", "true | false", "false", "whether m[key]=v fills maps, and items[0].name=v repeated messages").also(&["deep", "deep_object", "maps", "indices"]),
    key("settings[].query.fields_parameter", "NAME", "none", "the parameter that says which fields of the answer are printed, as in fields=name,author.id").also(&["fields", "partial", "partial_responses"]),
    key("settings[].query.ignored", "one or a list", "none", "parameters that are not for the message, as `key`").also(&["ignore", "ignored_query_parameters"]),
];

/// The keys of a table, by the path of the table: `""`, `listeners[]`, `clusters.<name>.tls`.
pub(super) fn keys_of(table: &str) -> impl Iterator<Item = (&'static str, &'static Key)> {
    KEYS.iter().filter_map(move |key| {
        let rest = key.path.strip_prefix(table)?;
        let name = if table.is_empty() { rest } else { rest.strip_prefix('.')? };
        (!name.contains(['.', '['])).then_some((name, key))
    })
}

/// The key of a table that an unknown one probably is: by another word for it, or misspelt.
pub(super) fn meant(table: &str, unknown: &str) -> Option<&'static str> {
    let also = keys_of(table).find(|(_, key)| key.also.contains(&unknown)).map(|(name, _)| name);
    also.or_else(|| closest(unknown, keys_of(table).map(|(name, _)| name)))
}

/// What to tell the user of an unknown key.
pub(super) fn hint(table: &str, unknown: &str) -> String {
    if let Some(near) = meant(table, unknown) {
        return format!("did you mean \"{near}\"?");
    }
    if let Some(key) = KEYS.iter().find(|key| key.path.rsplit('.').next() == Some(unknown)) {
        return format!("there is a key `{}`", key.path);
    }
    format!("known here: {}", keys_of(table).map(|(name, _)| name).collect::<Vec<_>>().join(", "))
}

/// The reference that people read.
pub fn reference() -> String {
    let mut out = String::from("Keys of the configuration. `[]`: items of a list; <name>: a name of your choice.\n");
    for key in KEYS {
        if !key.path.contains(['.', '[']) {
            out.push('\n');
        }
        // writing to a String cannot fail
        let _ = write!(out, "{}: {}", key.path, key.takes);
        if !key.default.is_empty() {
            let _ = write!(out, " (default: {})", key.default);
        }
        let _ = writeln!(out, "\n    {}", key.about);
    }
    out.push_str(FORMS);
    out
}

const FORMS: &str = "
duration: 10s, 1m30s, 250ms, 1h, 2d. size: 4MiB, 64KiB, 10MB, or bytes.
Paths are relative to the configuration file.
${NAME} in a value stands for that environment variable, ${NAME:-text} for the text if it is not set, $${ for `${`.
Anchors, aliases and merge keys (`<<: *name`) work as in YAML 1.1.
";

// === impl Key ===

impl Key {
    const fn also(mut self, words: &'static [&'static str]) -> Key {
        self.also = words;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once_and_its_table_is_a_key_too() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.path != key.path), "{} stands twice", key.path);
            assert!(!key.about.is_empty() && !key.takes.is_empty(), "{}", key.path);
            if let Some((table, _)) = key.path.rsplit_once('.') {
                let owner = table.trim_end_matches("[]").trim_end_matches(".<name>");
                assert!(KEYS.iter().any(|other| other.path == owner), "{owner} of {}", key.path);
            }
        }
    }

    #[test]
    fn no_other_word_for_a_key_is_a_key_of_the_same_table() {
        for key in KEYS {
            let table = key.path.rsplit_once('.').map_or("", |(table, _)| table);
            for word in key.also {
                assert!(keys_of(table).all(|(name, _)| name != *word), "{word} of {}", key.path);
            }
        }
    }

    #[test]
    fn hints_name_the_near_the_synonymous_and_the_misplaced_key() {
        assert_eq!(hint("", "listners"), "did you mean \"listeners\"?");
        assert_eq!(hint("", "upstreams"), "did you mean \"clusters\"?");
        assert_eq!(hint("listeners[].tls", "cert"), "did you mean \"certificate\"?");
        assert_eq!(hint("", "max_header_bytes"), "there is a key `listeners[].max_header_bytes`");
        assert_eq!(hint("admin", "banana"), "known here: address");
    }

    #[test]
    fn the_reference_names_every_key() {
        let text = reference();
        assert!(KEYS.iter().all(|key| text.contains(key.path)));
    }
}
