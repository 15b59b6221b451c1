//! Real packets: servers that answer and clients that ask, each in its own namespace.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::flow::{Flow, Place, Transport, Verdict};
use crate::lab::Lab;
use crate::process;

/// How long a client waits for an answer before it calls the flow denied.
const PATIENCE: Duration = Duration::from_millis(600);
/// How long a flow that is to be allowed is sent again.
const ENDURANCE: Duration = Duration::from_secs(15);
/// How often an idle server looks whether it is still wanted.
const IDLE: Duration = Duration::from_millis(10);
/// What clients send and servers return.
const QUESTION: &[u8] = b"may I?";
/// More than five Ethernet frames hold.
const LONG_QUESTION: &[u8] = &[b'?'; 8192];

/// Servers for the destinations of flows. Dropping it stops them.
#[derive(Debug)]
pub struct Servers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Starts one echo server for each destination of `flows` that needs one.
    pub fn start(lab: &Lab, flows: &[Flow]) -> Result<Self> {
        let wanted: BTreeSet<(&Place, Transport, bool, u16)> =
            flows.iter().map(|f| (&f.to, f.transport, f.ipv6, f.port)).collect();
        let mut servers = Servers { stop: Arc::default(), threads: Vec::new() };
        for (place, transport, ipv6, port) in wanted {
            let address = SocketAddr::new(lab.address(place, ipv6)?, port);
            let stop = Arc::clone(&servers.stop);
            let failed = |e: io::Error| Error::Failed(format!("cannot listen on {address} of {place}: {e}"));
            match transport {
                Transport::Tcp => {
                    let listener = lab.netns(place)?.within(|| listen(address))?.map_err(failed)?;
                    servers.threads.push(thread::spawn(move || serve_tcp(&listener, &stop)));
                }
                Transport::Udp | Transport::Fragments => {
                    let socket = lab.netns(place)?.within(|| bind(address))?.map_err(failed)?;
                    servers.threads.push(thread::spawn(move || serve_udp(&socket, &stop)));
                }
                Transport::Ping => {} // the kernel answers
            }
        }
        Ok(servers)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A server that panicked has already made its flows fail.
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(IDLE))?;
    Ok(socket)
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        match listener.accept() {
            // A client that goes away in between is its own loss.
            Ok((stream, _)) => drop(echo(stream)),
            Err(_) => thread::sleep(IDLE),
        }
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut question = [0; QUESTION.len()];
    stream.read_exact(&mut question)?;
    stream.write_all(&question)
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut question = [0; LONG_QUESTION.len()];
    while !stop.load(Ordering::SeqCst) {
        if let Ok((length, client)) = socket.recv_from(&mut question) {
            // A lost answer shows at the client.
            let _ = socket.send_to(&question[..length], client);
        }
    }
}

/// Sends every flow, all at the same time, and tells what came of each. Flows that are to be allowed and got no answer
/// are sent again for [`ENDURANCE`]: a busy machine loses packets and answers late. What is to be denied has one chance:
/// what passes once has passed.
///
/// # Errors
/// A flow that was neither answered nor lost (refused, unreachable) is a fault of the lab.
pub fn observe(lab: &Lab, flows: &[Flow], expected: &[Verdict]) -> Result<Vec<Verdict>> {
    let deadline = Instant::now() + ENDURANCE;
    let mut observed = send_all(lab, &flows.iter().collect::<Vec<_>>())?;
    loop {
        let lost: Vec<usize> = (0..flows.len())
            .filter(|&index| expected[index] == Verdict::Allow && observed[index] == Verdict::Deny)
            .collect();
        if lost.is_empty() || Instant::now() > deadline {
            return Ok(observed);
        }
        let again = send_all(lab, &lost.iter().map(|&index| &flows[index]).collect::<Vec<_>>())?;
        lost.into_iter().zip(again).for_each(|(index, verdict)| observed[index] = verdict);
    }
}

fn send_all(lab: &Lab, flows: &[&Flow]) -> Result<Vec<Verdict>> {
    thread::scope(|scope| {
        let clients: Vec<_> = flows.iter().map(|flow| scope.spawn(|| send(lab, flow))).collect();
        clients.into_iter().map(|c| c.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn send(lab: &Lab, flow: &Flow) -> Result<Verdict> {
    let address = lab.address(&flow.to, flow.ipv6)?;
    let target = SocketAddr::new(address, flow.port);
    let answered = lab.netns(&flow.from)?.within(|| match flow.transport {
        Transport::Tcp => ask_tcp(target),
        Transport::Udp => ask_udp(target, QUESTION),
        Transport::Fragments => ask_udp(target, LONG_QUESTION),
        Transport::Ping => ping(address),
    })?;
    match answered {
        Ok(true) => Ok(Verdict::Allow),
        Ok(false) => Ok(Verdict::Deny),
        Err(error) => Err(Error::Failed(format!("{flow}: {error}"))),
    }
}

fn ask_tcp(target: SocketAddr) -> io::Result<bool> {
    let stream = match TcpStream::connect_timeout(&target, PATIENCE) {
        Ok(stream) => stream,
        Err(error) => return lost(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    (&stream).write_all(QUESTION)?;
    let mut answer = [0; QUESTION.len()];
    match (&stream).read_exact(&mut answer) {
        Ok(()) => Ok(answer == QUESTION),
        Err(error) => lost(error),
    }
}

fn ask_udp(target: SocketAddr, question: &[u8]) -> io::Result<bool> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(question)?;
    let mut answer = [0; LONG_QUESTION.len()];
    match socket.recv(&mut answer) {
        Ok(length) => Ok(&answer[..length] == question),
        Err(error) => lost(error),
    }
}

fn ping(address: IpAddr) -> io::Result<bool> {
    let mut command = Command::new("ping");
    command.args(["-n", "-q", "-c", "1", "-W", "1"]).arg(address.to_string());
    let output = process::capture(&mut command).map_err(io::Error::other)?;
    match output.status.and_then(|s| s.code()) {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(io::Error::other(format!("ping: {}", output.stderr.trim()))),
    }
}

fn lost(error: io::Error) -> io::Result<bool> {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Ok(false),
        _ => Err(error),
    }
}
