//! `transom demo`: an upstream, a catalog, the edge before it and a web page, in one process over real sockets.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::{fs, io};

use clap::Args;

use super::{report, serve};
use crate::config::{Flags, Origin, Purpose};
use crate::demo::upstream::Upstream;
use crate::demo::{CONFIG, PROTOS, page};
use crate::reflect::Book;
use crate::server;

#[derive(Debug, Args)]
pub(super) struct DemoFlags {
    /// Address to serve [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

/// How many ports are tried behind the default one.
const PORTS_TRIED: u16 = 100;

/// The demo's configuration and protos on disk, as a user would have them. Removed when the demo ends.
struct Files(PathBuf);

pub(super) fn run(flags: &DemoFlags) -> ExitCode {
    report::start_log();
    match prepare(flags) {
        Ok((files, origin, upstream)) => {
            let code = serve_demo(origin);
            upstream.shutdown();
            drop(files);
            code
        }
        Err(error) => report::failed(error),
    }
}

fn prepare(flags: &DemoFlags) -> io::Result<(Files, Origin, crate::demo::upstream::Running)> {
    let address = address(flags.listen)?;
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into())?;
    let files = Files::write(address, upstream.address())?;
    let origin = Origin { file: Some(files.config()), flags: Flags::default(), purpose: Purpose::Serve };
    Ok((files, origin, upstream))
}

fn serve_demo(origin: Origin) -> ExitCode {
    let settled = match origin.load() {
        Ok(settled) => settled,
        Err(mistakes) => return report::refused(&mistakes),
    };
    let mut start = serve::start(&settled);
    start.drain_timeout = std::time::Duration::from_secs(2);
    let config = origin.file.clone().unwrap_or_default();
    let book = Book::new(Arc::clone(&start.meters));
    let load = serve::load(origin, &book, Some(page::find), &start.meters);
    serve::ended(server::run(start, load, serve::handler, |running| {
        serve::follow(&book, running);
        if let Some(address) = running.addresses().first() {
            report::print(&welcome(*address, &config));
        }
    }))
}

/// The address asked for; else the default, or the next port that is free.
fn address(asked: Option<SocketAddr>) -> io::Result<SocketAddr> {
    if let Some(asked) = asked {
        return Ok(asked);
    }
    let ports = 8080..8080 + PORTS_TRIED;
    let free = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).find(|at| TcpListener::bind(at).is_ok());
    free.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port from 8080 on; give --listen ADDR"))
}

/// What to do next.
fn welcome(address: SocketAddr, config: &Path) -> String {
    format!(
        r#"
  Transom is up:  http://{address}/

  Five ways in, one service behind them; paste any of these:

  1  curl http://{address}/v1/greeter/joe
  2  curl 'http://{address}/v1/shelves/1/books:watch?count=3' -H 'accept: application/x-ndjson' -N
  3  curl http://{address}/helloworld.Greeter/SayHello -H 'content-type: application/json' -d '{{"name":"joe"}}'
  4  printf 'AAAAAAUKA2pvZQ==' | curl http://{address}/helloworld.Greeter/SayHello --data-binary @- \
       -H 'content-type: application/grpc-web-text' -H 'accept: application/grpc-web-text' | base64 -d
  5  grpcurl -plaintext -import-path protos -proto helloworld.proto -d '{{"name":"joe"}}' {address} helloworld.Greeter/SayHello

  Configuration: {}
  Stop with Ctrl-C.

"#,
        config.display()
    )
}

// === impl Files ===

impl Files {
    fn write(address: SocketAddr, upstream: SocketAddr) -> io::Result<Files> {
        let files = Files(std::env::temp_dir().join(format!("transom-demo-{}", std::process::id())));
        let (catalogs, protos) = (files.0.join("catalogs"), files.0.join("protos"));
        fs::create_dir_all(&catalogs)?;
        fs::create_dir_all(&protos)?;
        for (name, text) in PROTOS {
            fs::write(protos.join(name), text)?;
        }
        let text = CONFIG
            .replace("${DEMO_LISTEN:-127.0.0.1:8080}", &format!("\"{address}\""))
            .replace("${DEMO_UPSTREAM:-h2c://127.0.0.1:50051}", &format!("h2c://{upstream}"));
        fs::write(files.config(), text)?;
        Ok(files)
    }

    fn config(&self) -> PathBuf {
        self.0.join("catalogs").join("demo.yaml")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // a folder that stays behind in the temporary directory harms nobody
        let _ = fs::remove_dir_all(&self.0);
    }
}
