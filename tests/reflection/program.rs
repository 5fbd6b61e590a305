//! The real program, driven as a person drives it, and bare callers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// No step of a test takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own for a test.
pub struct Folder(tempfile::TempDir);

/// A running `transom serve`; killed when it falls.
pub struct Serving {
    process: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    told: Arc<Mutex<String>>,
}

// === impl Folder ===

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    pub async fn transom(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_transom"));
        command.args(arguments).current_dir(self.0.path()).env_remove("TRANSOM_LOG");
        tokio::task::spawn_blocking(move || command.output().expect("runs")).await.expect("ends")
    }

    pub async fn serve(&self, arguments: &[&str]) -> Serving {
        self.try_serve(arguments).await.unwrap_or_else(|told| panic!("it ended before it listened:\n{told}"))
    }

    /// Errors: what it said before it ended.
    pub async fn try_serve(&self, arguments: &[&str]) -> Result<Serving, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_transom"));
        command.arg("serve").args(arguments).args(["--admin", "127.0.0.1:0", "--workers", "1"]);
        command.args(["--listen", "127.0.0.1:0"]).current_dir(self.0.path()).env_remove("TRANSOM_LOG");
        tokio::task::spawn_blocking(move || Serving::start(command)).await.expect("ends")
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// === impl Serving ===

impl Serving {
    fn start(mut command: Command) -> Result<Serving, String> {
        let mut process = command.stderr(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr"));
        let told = Arc::new(Mutex::new(String::new()));
        let (mut address, mut admin) = (None, None);
        while address.is_none() {
            let mut line = String::new();
            if lines.read_line(&mut line).expect("a line") == 0 {
                let _ = process.wait();
                return Err(told.lock().expect("told").clone());
            }
            let after = |what: &str| line.trim().strip_prefix(what).and_then(|text| text.parse().ok());
            admin = admin.or(after("admin on "));
            address = after("listening on ");
            told.lock().expect("told").push_str(&line);
        }
        let log = Arc::clone(&told);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = log.lock().expect("told");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let (address, admin) = (address.expect("an address"), admin.expect("an admin address"));
        Ok(Serving { process, address, admin, told })
    }

    /// What it said so far.
    pub fn told(&self) -> String {
        self.told.lock().expect("told").clone()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    pub async fn get(&self, path: &str) -> String {
        exchange(self.address, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: &str) -> String {
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {content_type}\r\n");
        exchange(self.address, format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await
    }

    /// A page of the operator's door.
    pub async fn page(&self, path: &str) -> String {
        exchange(self.admin, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await
    }

    /// The sample of `/metrics` of this name, with its labels if it has some.
    pub async fn metric(&self, name: &str) -> Option<i64> {
        let page = self.page("/metrics").await;
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn exchange(address: SocketAddr, request: String) -> String {
    let exchanged = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    exchanged.await.expect("an answer")
}

/// Waits until something holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
