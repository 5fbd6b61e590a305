//! A wire that can be parted: bytes stop, and nobody is told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Carries connections to an address, until it is parted. What was open then stays open, half, and never carries
/// anything again; what comes later waits until it is whole.
pub struct Wire {
    pub address: SocketAddr,
    parted: watch::Sender<bool>,
    task: JoinHandle<()>,
}

// === impl Wire ===

impl Wire {
    pub async fn to(target: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (parted, watched) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                carried.spawn(carry(near, target, watched.clone()));
            }
        });
        Wire { address, parted, task }
    }

    pub fn part(&self, parted: bool) {
        self.parted.send_replace(parted);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(near: TcpStream, target: SocketAddr, mut parted: watch::Receiver<bool>) {
    let _ = parted.wait_for(|parted| !parted).await;
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let both = async {
        tokio::select! {
            () = copy(&mut from_near, &mut to_far) => {}
            () = copy(&mut from_far, &mut to_near) => {}
        }
    };
    let is_parted = tokio::select! {
        biased;
        Ok(_) = async { parted.wait_for(|parted| *parted).await.map(drop) } => true,
        () = both => false,
    };
    if is_parted {
        // both ends hold what is no connection any more
        std::future::pending::<()>().await;
    }
}

async fn copy(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
