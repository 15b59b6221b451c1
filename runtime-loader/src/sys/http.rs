//! Answering HTTP requests, of which nothing is looked at.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::{net, signal};

/// Most bytes of a request that are read.
const REQUEST_MAX: usize = 8192;
/// How long one client may take for everything: the next one waits meanwhile.
const CLIENT_MAX: Duration = Duration::from_secs(2);
/// How long to wait behind a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the wish to end may go unseen.
const WAIT: Duration = Duration::from_millis(500);

/// Answers one request after the other with plain text, or with the error, until a signal asks to end. `body` sees no
/// part of the request. Whoever is being answered then still gets the whole answer.
pub fn serve(listener: &TcpListener, mut body: impl FnMut() -> Result<String, String>) -> io::Result<()> {
    signal::catch()?;
    listener.set_nonblocking(true)?;
    while !signal::asked() {
        if !net::wait_readable(listener.as_fd(), WAIT)? {
            continue;
        }
        match listener.accept() {
            // Whoever asked may be gone, or slow: the next one is served all the same.
            Ok((stream, _)) => drop(answer(stream, &mut body)),
            // It went before it was its turn, or there is no memory for it now.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream, body: &mut impl FnMut() -> Result<String, String>) -> io::Result<()> {
    let end = Instant::now() + CLIENT_MAX;
    stream.set_nonblocking(false)?;
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(got) => request.extend_from_slice(part.get(..got).unwrap_or(&[])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let (status, text) = match body() {
        Ok(text) => ("200 OK", text),
        Err(error) => ("500 Internal Server Error", error),
    };
    let length = text.len();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    );
    let mut rest = answer.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(end)?))?;
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => rest = rest.get(sent..).unwrap_or(&[]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The time until `end`, which is more than none.
fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
