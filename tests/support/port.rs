//! Ports that stay a test's own while nobody listens on them: a port that is bound, closed and bound again may have been
//! given to another test meanwhile.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// An address that is held for as long as this lives. Connections to it are refused until somebody listens.
#[derive(Debug)]
pub struct Port {
    pub address: SocketAddr,
    /// Bound and never listening: beside such a one, and no other, an address may be bound again.
    _held: TcpSocket,
}

// === impl Port ===

impl Port {
    /// A free one on loopback.
    pub fn take() -> Port {
        Port::hold((Ipv4Addr::LOCALHOST, 0).into()).expect("a port")
    }

    /// The same free one at each of these addresses, as the endpoints behind one name have it.
    pub fn at_each(addresses: &[IpAddr]) -> Vec<Port> {
        let (first, rest) = addresses.split_first().expect("an address");
        let at_all = || {
            let first = Port::hold((*first, 0).into()).ok()?;
            let number = first.address.port();
            let rest = rest.iter().map(|address| Port::hold((*address, number).into()).ok());
            std::iter::once(Some(first)).chain(rest).collect()
        };
        (0..100).find_map(|_| at_all()).expect("a port that is free at all addresses")
    }

    fn hold(address: SocketAddr) -> std::io::Result<Port> {
        let socket = Port::bind(address)?;
        Ok(Port { address: socket.local_addr()?, _held: socket })
    }

    fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    }

    /// Listens there; again and again, once the listener before has fallen.
    pub fn listen(&self) -> TcpListener {
        Port::bind(self.address).and_then(|socket| socket.listen(1024)).expect("its port")
    }
}
