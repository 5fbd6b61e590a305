//! A name server over UDP whose answers are what the test says.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// What is said to a question.
#[derive(Clone, Debug)]
pub enum Say {
    Addresses(Vec<IpAddr>),
    /// Priority, weight, port, target.
    Targets(Vec<(u16, u16, u16, &'static str)>),
    /// There is such a name, with no such records.
    Nothing,
    NoSuchName,
    Failure,
    Silence,
    /// Bytes behind the number of the question.
    Garbage(Vec<u8>),
}

type Zone = Arc<Mutex<HashMap<(String, u16), Say>>>;

pub struct NameServer {
    pub address: SocketAddr,
    zone: Zone,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl NameServer {
    /// Every answer has this TTL, seconds.
    pub async fn start(ttl: u32) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let (zone, asked) = (Zone::default(), Arc::<Mutex<Vec<_>>>::default());
        let (known, questions) = (Arc::clone(&zone), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                let (question, name, kind) = question(&buffer[..len]);
                questions.lock().expect("a lock").push((name.clone(), kind));
                let say = {
                    let zone = known.lock().expect("a lock");
                    let exists = zone.keys().any(|(known, _)| *known == name);
                    let other = if exists { Say::Nothing } else { Say::NoSuchName };
                    zone.get(&(name, kind)).cloned().unwrap_or(other)
                };
                if let Some(answer) = answer(&buffer[..2], question, kind, ttl, say) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        NameServer { address, zone, asked, task }
    }

    pub fn say(&self, name: &str, kind: u16, say: Say) {
        self.zone.lock().expect("a lock").insert((name.to_owned(), kind), say);
    }

    /// These addresses, of IPv4, from now on.
    pub fn point(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address"));
        self.say(name, A, Say::Addresses(addresses.collect()));
    }

    /// How often it was asked for these.
    pub fn asked(&self, name: &str, kind: u16) -> usize {
        let asked = self.asked.lock().expect("a lock");
        asked.iter().filter(|(known, of)| known == name && *of == kind).count()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The question as it came, its name without the last dot, and its type.
fn question(packet: &[u8]) -> (&[u8], String, u16) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let len = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..at + 1 + len]).to_ascii_lowercase());
        at += 1 + len;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    (&packet[12..at + 5], labels.join("."), kind)
}

fn answer(id: &[u8], question: &[u8], kind: u16, ttl: u32, say: Say) -> Option<Vec<u8>> {
    let (code, records): (u8, Vec<Vec<u8>>) = match say {
        Say::Silence => return None,
        Say::Garbage(bytes) => return Some([id, &bytes].concat()),
        Say::Nothing => (0, Vec::new()),
        Say::NoSuchName => (3, Vec::new()),
        Say::Failure => (2, Vec::new()),
        Say::Addresses(addresses) => {
            let bytes = |address: IpAddr| match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            (0, addresses.into_iter().map(bytes).collect())
        }
        Say::Targets(targets) => (0, targets.into_iter().map(target).collect()),
    };
    let mut out = id.to_vec();
    // an answer, recursion asked for and there
    out.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(records.len()).expect("few"), 0, 0, 0, 0]);
    out.extend(question);
    for record in records {
        // the name of the question, which begins behind the head
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend(u16::try_from(record.len()).expect("short").to_be_bytes());
        out.extend(record);
    }
    Some(out)
}

fn target((priority, weight, port, name): (u16, u16, u16, &str)) -> Vec<u8> {
    let mut out = [priority, weight, port].iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).expect("short"));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
