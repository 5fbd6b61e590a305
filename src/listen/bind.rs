//! Listening sockets and their options.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Connections that the kernel keeps for us until we take them; it lowers this to its own limit.
pub(super) const BACKLOG: i32 = 4096;

/// Opens a listening socket. `[::]` takes IPv4 callers as well.
///
/// Errors: the address is taken, not ours, or not permitted.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    open(address).map_err(|source| BindError { address, source })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // a restart must not wait for connections in TIME_WAIT
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(*v6.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    // Linux hands it on to accepted sockets, see `accept`
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

// === impl BindError ===

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}", self.address)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_callers_too() {
        let Ok(listener) = bind("[::]:0".parse().unwrap()) else {
            return; /* a machine without IPv6 */
        };
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn a_taken_address_is_an_error_that_names_it() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr();
        let listener = bind(taken.unwrap());
        let again = listener.map(|listener| (bind(listener.local_addr().unwrap()), listener));
        let (again, _listener) = again.unwrap();
        let error = again.unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"));
    }
}
