//! A caller and an upstream on blocking sockets, made so that an edge between them does the very same for each call: a
//! request is written at once, so is the answer to it, the next call begins when the one before has ended, and field
//! lines are in HPACK's table from the second call on, as they are between peers that know each other. Windows are open
//! so far that nobody has to tell of them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// What goes over HTTP/2 in one direction of a call.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Of the head.
    pub fields: Vec<(&'static str, &'static str)>,
    /// Each is DATA of its own.
    pub data: Vec<Vec<u8>>,
    /// END_STREAM is on the trailers, or on the last DATA if there are none.
    pub trailers: Vec<(&'static str, &'static str)>,
}

/// Sends requests, one after the other, over one connection.
pub enum Caller<'c> {
    Http1 { socket: Socket, request: &'c [u8] },
    Http2 { socket: Socket, request: &'c Side, stream: u32 },
}

/// A connection.
pub struct Socket {
    reader: BufReader<TcpStream>,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// No read of a caller takes longer, be the edge under valgrind on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// The first entry of HPACK's dynamic table (RFC 7541 section 2.3.3).
const NEWEST: usize = 62;
/// Pairs of HPACK's static table (RFC 7541 appendix A) that are sent without a line of their own.
const STATIC: [((&str, &str), u8); 4] =
    [((":method", "GET"), 2), ((":method", "POST"), 3), ((":scheme", "http"), 6), ((":status", "200"), 8)];
/// `:status: 200`, by the same table.
const STATUS_200: u8 = 0x88;

/// Starts an upstream that answers every call so; its threads end with their connections and with the process.
pub fn upstream(answer: Side) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || drop(serve(socket, &answer)));
        }
    });
    Ok(address)
}

/// Serves a connection until it ends.
fn serve(socket: TcpStream, answer: &Side) -> io::Result<()> {
    let mut socket = Socket::new(socket)?;
    let mut preface = [0; PREFACE.len()];
    socket.reader.read_exact(&mut preface)?;
    socket.greet(b"")?;
    let mut known = false;
    loop {
        let frame = socket.frame()?;
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            socket.write(&answer.bytes(frame.stream, known))?;
            known = true;
        }
    }
}

// === impl Side ===

impl Side {
    /// All frames of it; `known` if the peer has its field lines already.
    fn bytes(&self, stream: u32, known: bool) -> Vec<u8> {
        let literals = |fields: &[(&str, &str)]| fields.iter().filter(|field| indexed(field).is_none()).count();
        let total = literals(&self.fields) + literals(&self.trailers);
        // an entry's index grows with each that comes behind it
        let first = NEWEST + total - 1;
        let end = |last: bool| if last { END_STREAM } else { 0 };
        let bare = self.data.is_empty() && self.trailers.is_empty();
        let mut out = frame(HEADERS, END_HEADERS | end(bare), stream, &block(&self.fields, known, first));
        for (at, data) in self.data.iter().enumerate() {
            let last = self.trailers.is_empty() && at + 1 == self.data.len();
            out.extend(frame(DATA, end(last), stream, data));
        }
        if !self.trailers.is_empty() {
            let first = first - literals(&self.fields);
            out.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&self.trailers, known, first)));
        }
        out
    }
}

/// Field lines: those of the static table by index, others written out for the dynamic table or, when they are in it, by
/// their indices there, of which `first` is the first and highest.
fn block(fields: &[(&str, &str)], known: bool, first: usize) -> Vec<u8> {
    let (mut out, mut next) = (Vec::new(), first);
    for field in fields {
        if let Some(index) = indexed(field) {
            out.push(0x80 | index);
        } else if known {
            out.push(0x80 | short(next));
            next -= 1;
        } else {
            out.push(0x40);
            for text in [field.0, field.1] {
                out.push(short(text.len()));
                out.extend(text.as_bytes());
            }
        }
    }
    out
}

fn indexed(field: &(&str, &str)) -> Option<u8> {
    STATIC.iter().find(|(known, _)| known == field).map(|(_, index)| *index)
}

/// A number that fits into the prefix of seven bits.
fn short(number: usize) -> u8 {
    assert!(number < 127, "texts and tables are short here");
    number as u8
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

// === impl Socket ===

impl Socket {
    fn new(socket: TcpStream) -> io::Result<Socket> {
        socket.set_nodelay(true)?;
        Ok(Socket { reader: BufReader::with_capacity(64 << 10, socket) })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// The first bytes of an end of HTTP/2: its settings, and windows for all that it will ever read.
    fn greet(&mut self, preface: &[u8]) -> io::Result<()> {
        // SETTINGS_INITIAL_WINDOW_SIZE (4): 1 MiB
        let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 16, 0, 0]);
        let windows = frame(WINDOW_UPDATE, 0, 0, &(i32::MAX as u32 - u32::from(u16::MAX)).to_be_bytes());
        self.write(&[preface, &settings, &windows].concat())
    }

    /// The next frame; those that must be answered are.
    fn frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.reader.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.reader.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & ACK == 0 => self.write(&frame(SETTINGS, ACK, 0, b""))?,
            PING if flags & ACK == 0 => self.write(&frame(PING, ACK, 0, &payload))?,
            _ => {}
        }
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// The body of an answer over HTTP/2.
    fn answer_of_http2(&mut self, stream: u32) -> io::Result<Vec<u8>> {
        let (mut body, mut good) = (Vec::new(), false);
        loop {
            let frame = self.frame()?;
            match frame.kind {
                HEADERS if frame.stream == stream => good |= frame.payload.first() == Some(&STATUS_200),
                DATA if frame.stream == stream => body.extend(&frame.payload),
                // SETTINGS, PING, WINDOW_UPDATE: of the connection; the rest ends the call or all of them
                SETTINGS | PING | WINDOW_UPDATE => continue,
                kind => return Err(io::Error::other(format!("frame {kind} of stream {}", frame.stream))),
            }
            if frame.flags & END_STREAM != 0 {
                return if good { Ok(body) } else { Err(io::Error::other("not 200")) };
            }
        }
    }

    /// The body of an answer over HTTP/1.1.
    fn answer_of_http1(&mut self) -> io::Result<Vec<u8>> {
        let (status, mut length, mut chunked) = (self.line()?, 0, false);
        if status != "HTTP/1.1 200 OK" {
            return Err(io::Error::other(status));
        }
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if let Some(number) = line.strip_prefix("content-length: ") {
                length = number.parse().map_err(io::Error::other)?;
            }
            chunked |= line == "transfer-encoding: chunked";
            if line.is_empty() {
                break;
            }
        }
        if !chunked {
            return self.take(length);
        }
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            body.extend(self.take(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| io::Error::other(format!("half a line: {line}")))
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

// === impl Caller ===

impl<'c> Caller<'c> {
    /// Sends these bytes for each call.
    pub fn http1(edge: SocketAddr, request: &'c [u8]) -> io::Result<Caller<'c>> {
        Ok(Caller::Http1 { socket: connect(edge)?, request })
    }

    pub fn http2(edge: SocketAddr, request: &'c Side) -> io::Result<Caller<'c>> {
        let mut socket = connect(edge)?;
        socket.greet(PREFACE)?;
        Ok(Caller::Http2 { socket, request, stream: 1 })
    }

    /// One call; returns the body of the answer once it is there whole.
    ///
    /// Errors: the connection's, an answer that is late, and one that is not 200.
    pub fn call(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Caller::Http1 { socket, request } => {
                socket.write(request)?;
                socket.answer_of_http1()
            }
            Caller::Http2 { socket, request, stream } => {
                let this = *stream;
                *stream += 2;
                socket.write(&request.bytes(this, this > 1))?;
                socket.answer_of_http2(this)
            }
        }
    }
}

fn connect(edge: SocketAddr) -> io::Result<Socket> {
    let socket = TcpStream::connect(edge)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Socket::new(socket)
}
