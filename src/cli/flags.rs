//! The flags. Their names are a contract: scripts and harnesses drive the edge by them.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Flags, Origin, Purpose};

/// Which catalogs: by a configuration file, by flags, or by both.
#[derive(Debug, Default, Args)]
pub(super) struct CatalogFlags {
    /// Configuration file, YAML; flags override its keys and add a catalog to its catalogs
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,

    /// Upstream that answers; several are endpoints of one cluster. h2c:// http:// grpc://: clear text; h2s:// https://
    /// grpcs://: TLS
    #[arg(long, value_name = "URL")]
    pub upstream: Vec<String>,

    /// Folder with .proto files, an import root
    #[arg(long, value_name = "DIR")]
    pub proto_path: Vec<PathBuf>,

    /// .proto file to compile [default: every one under the roots]
    #[arg(long, value_name = "FILE")]
    pub proto: Vec<PathBuf>,

    /// Descriptor set with its imports, as `protoc --include_imports -o` and `buf build -o` make
    #[arg(long, value_name = "FILE")]
    pub descriptor_set: Vec<PathBuf>,

    /// Take the catalog from the upstream's reflection
    #[arg(long)]
    pub reflect: bool,

    /// What to do about two rules of one shape: `refuse` to load, or `report` them and leave them unrouted
    /// [default: refuse]
    #[arg(long, value_name = "refuse|report")]
    pub conflicts: Option<String>,

    /// No JSON by POST /pkg.Service/Method for methods without a rule
    #[arg(long)]
    pub no_auto_mapping: bool,
}

/// All that `serve` takes.
#[derive(Debug, Default, Args)]
pub(super) struct ServeFlags {
    #[command(flatten)]
    pub catalog: CatalogFlags,

    /// Address to serve, repeatable [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,

    /// Certificate chain, PEM: serve TLS only
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Authorities, PEM: callers must show a certificate that one of them signed
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Origin whose pages may call, as in https://app.example, or `*`; repeatable
    #[arg(long, value_name = "ORIGIN")]
    pub cors_origin: Vec<String>,

    /// Threads that serve [default: as many as cores]
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,

    /// Largest message of a caller, in bytes or as in 16MiB; 0: no limit [default: 4MiB]. Answers may be as large, and
    /// 4MiB at least
    #[arg(long, value_name = "BYTES")]
    pub max_message_size: Option<String>,

    /// What becomes of requests that break rules of buf.validate: `enforce` refuses them, `shadow` counts and logs them
    /// [default: off]
    #[arg(long, value_name = "off|shadow|enforce")]
    pub validate: Option<String>,

    /// How long calls in flight may go on after SIGTERM [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub drain_timeout: Option<String>,

    /// Address of /healthz, /readyz and /metrics [default: none]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
}

// === impl CatalogFlags ===

impl CatalogFlags {
    /// For verbs that look at catalogs and serve nothing.
    pub fn origin(self) -> Origin {
        let (file, flags) = self.split();
        Origin { file, flags, purpose: Purpose::Describe }
    }

    fn split(self) -> (Option<PathBuf>, Flags) {
        let flags = Flags {
            upstream: self.upstream,
            proto_path: self.proto_path,
            proto: self.proto,
            descriptor_set: self.descriptor_set,
            reflect: self.reflect,
            conflicts: self.conflicts,
            no_auto_mapping: self.no_auto_mapping,
            ..Flags::default()
        };
        (self.config, flags)
    }
}

// === impl ServeFlags ===

impl ServeFlags {
    pub fn origin(self) -> Origin {
        let (file, flags) = self.catalog.split();
        let flags = Flags {
            listen: self.listen,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            tls_client_ca: self.tls_client_ca,
            cors_origin: self.cors_origin,
            workers: self.workers,
            max_message_size: self.max_message_size,
            validate: self.validate,
            drain_timeout: self.drain_timeout,
            admin: self.admin,
            ..flags
        };
        Origin { file, flags, purpose: Purpose::Serve }
    }
}
