//! Connections over their whole life: opened, answered, refused, closed, opened again, forgotten.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use ciliumc_abi::drop_reason::POLICY_DENIED;
use nix::sys::socket::{setsockopt, sockopt};

use crate::frames::*;
use crate::world::*;

const PATIENCE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(500);

pub fn to(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr(address), port)
}

/// Sends `bytes` there and the same back, and says whether they came back whole.
fn stream(world: &World, from: &str, address: SocketAddr, bytes: usize) -> bool {
    let listener = world.at(SRV, || TcpListener::bind(address).unwrap());
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let mut client = world.at(from, || TcpStream::connect_timeout(&address, PATIENCE).unwrap());
    let sent: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    echo.join().unwrap();
    back == sent
}

#[test]
fn a_long_stream_arrives_whole_with_and_without_offloads() {
    let Some(world) = World::new(GUARDED) else { return };
    for [_, srv, _] in PODS {
        assert!(stream(&world, CLI, to(srv, 8080), 8 << 20), "as large packets");
    }
    for place in [CLI, SRV] {
        world.at(place, || {
            let words = ["link", "set", "eth0", "gso_max_segs", "1", "gso_max_size", "1500"];
            assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
        });
    }
    for [_, srv, _] in PODS {
        assert!(stream(&world, CLI, to(srv, 8080), 2 << 20), "as frames");
    }
    let refused = world.at(OTH, || TcpStream::connect_timeout(&to(PODS[0][1], 8080), SHORT));
    assert!(refused.is_err());
}

#[test]
fn jumbo_frames_are_frames() {
    let Some(world) = World::new(GUARDED) else { return };
    for (place_, near) in [(CLI, 0), (SRV, 1), (OTH, 2)] {
        let _ = near;
        world.at(place_, || {
            assert!(
                std::process::Command::new("ip")
                    .args(["link", "set", "eth0", "mtu", "9000"])
                    .status()
                    .unwrap()
                    .success()
            );
        });
    }
    world.at("host", || {
        for interface in ["lxc0", "lxc1", "lxc2"] {
            let words = ["link", "set", interface, "mtu", "9000"];
            assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
        }
    });
    for [cli, srv, _] in PODS {
        let server = world.at(SRV, || UdpSocket::bind(to(srv, 8080)).unwrap());
        let closed = world.at(SRV, || UdpSocket::bind(to(srv, 8081)).unwrap());
        let client = world.at(CLI, || UdpSocket::bind(to(cli, 0)).unwrap());
        for socket in [&server, &closed] {
            socket.set_read_timeout(Some(SHORT)).unwrap();
        }
        let mut buffer = [0; 9000];
        client.send_to(&[7; 8900], to(srv, 8080)).unwrap();
        assert_eq!(server.recv_from(&mut buffer).unwrap().0, 8900);
        client.send_to(&[7; 8900], to(srv, 8081)).unwrap();
        assert!(closed.recv_from(&mut buffer).is_err());
    }
}

#[test]
fn a_closed_udp_port_says_so() {
    let outside = [OUTSIDE[0][0], OUTSIDE[1][0]];
    let Some(world) = World::with(&[], GUARDED, &outside) else { return };
    let ask = |from: &str, source: &str, target: SocketAddr| {
        let client = world.at(from, || UdpSocket::bind(to(source, 0)).unwrap());
        client.connect(target).unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        client.send(b"?").unwrap();
        client.recv(&mut [0; 8]).unwrap_err().kind()
    };
    for ([cli, srv, oth], outside) in PODS.into_iter().zip(outside) {
        assert_eq!(ask(CLI, cli, to(srv, 8080)), ErrorKind::ConnectionRefused, "allowed, and nobody listens");
        assert_eq!(ask(CLI, cli, to(srv, 8081)), ErrorKind::WouldBlock, "denied: silence");
        assert_eq!(ask(OTH, oth, to(srv, 8080)), ErrorKind::WouldBlock);
        assert_eq!(ask(CLI, cli, to(outside, 99)), ErrorKind::ConnectionRefused, "outside of the node");
    }
}

#[test]
fn a_closed_tcp_port_refuses() {
    let Some(world) = World::new(GUARDED) else { return };
    let connect =
        |from: &str, target| world.at(from, || TcpStream::connect_timeout(&target, SHORT).unwrap_err().kind());
    for [_, srv, _] in PODS {
        assert_eq!(connect(CLI, to(srv, 8080)), ErrorKind::ConnectionRefused);
        assert_eq!(connect(CLI, to(srv, 8081)), ErrorKind::TimedOut);
        assert_eq!(connect(OTH, to(srv, 8080)), ErrorKind::TimedOut);
    }
}

#[test]
fn the_same_five_tuple_again_within_a_second_of_close() {
    let Some(world) = World::new(GUARDED) else { return };
    for [cli, srv, oth] in PODS {
        let listener = world.at(SRV, || TcpListener::bind(to(srv, 8080)).unwrap());
        let server = thread::spawn(move || {
            for stream in listener.incoming().take(10) {
                let mut stream = stream.unwrap();
                let mut question = [0; 1];
                stream.read_exact(&mut question).unwrap();
                stream.write_all(&question).unwrap();
                // The client closes first, and so keeps the port.
                let _ = stream.read(&mut question);
            }
        });
        for round in 0..10 {
            let begin = Instant::now();
            let mut stream = loop {
                match world.at(CLI, || from_port(to(cli, 40_000), to(srv, 8080))) {
                    Ok(stream) => break stream,
                    // A process that another test is about to start has a copy of the last socket until it runs its program.
                    Err(error) if error.kind() == ErrorKind::AddrNotAvailable && begin.elapsed() < SHORT => {
                        thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => panic!("round {round}: {error}"),
                }
            };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&[round]).unwrap();
            let mut answer = [0; 1];
            stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(answer, [round]);
            if round % 2 == 0 {
                // Without lingering a close is an RST, and no TIME_WAIT is in the next one's way.
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&stream, sockopt::Linger, &linger).unwrap();
            } else {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = stream.read(&mut answer);
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&stream, sockopt::Linger, &linger).unwrap();
            }
        }
        server.join().unwrap();
        let denied = world.at(OTH, || TcpStream::connect_timeout(&to(srv, 8080), SHORT));
        assert!(denied.is_err(), "{oth}");
    }
}

/// A connection from a given port, which may have been in use a moment ago.
fn from_port(source: SocketAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
    use std::os::fd::AsRawFd;
    let family = if source.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(source))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(target))?;
    Ok(TcpStream::from(socket))
}

#[test]
fn a_reply_needs_a_request() {
    let Some(world) = World::new(ANSWERS_ONLY) else { return };
    let (there, back) = (world.road(CLI, SRV), world.road(SRV, CLI));
    for [cli, srv, _] in PODS {
        let pairs = [
            (udp_frame(addr(cli), 5, addr(srv), 6), udp_frame(addr(srv), 6, addr(cli), 5)),
            (tcp_frame(addr(cli), 5, addr(srv), 6, SYN), tcp_frame(addr(srv), 6, addr(cli), 5, SYN | ACK)),
            (echo_frame(addr(cli), addr(srv), false, 5), echo_frame(addr(srv), addr(cli), true, 5)),
        ];
        for (request, reply) in pairs {
            assert_eq!(back.fate(&reply), Fate::Dropped(POLICY_DENIED));
            assert_eq!(there.fate(&request), Fate::Passed);
            assert_eq!(back.fate(&reply), Fate::Passed);
        }
        let stray = udp_frame(addr(srv), 7, addr(cli), 5);
        assert_eq!(back.fate(&stray), Fate::Dropped(POLICY_DENIED), "of another flow");
    }
}

/// Timeouts of a second.
const HASTY: [(&str, &str); 4] = [
    ("bpf-ct-timeout-regular-any", "1s"),
    ("bpf-ct-timeout-regular-tcp-syn", "1s"),
    ("bpf-ct-timeout-regular-tcp-fin", "1s"),
    ("bpf-ct-timeout-regular-tcp", "60s"),
];

/// The client may ask the server, and the server may only answer.
const ANSWERS_ONLY: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: answers, namespace: t}
spec:
  endpointSelector: {matchLabels: {app: srv}}
  ingress: [{fromEndpoints: [{matchLabels: {app: cli}}]}]
  egress: [{}]
";

#[test]
fn a_udp_flow_is_forgotten_after_its_timeout() {
    let Some(world) = World::with(&HASTY, ANSWERS_ONLY, &[]) else { return };
    for [cli, srv, _] in PODS {
        let (there, back) = (world.road(CLI, SRV), world.road(SRV, CLI));
        let (request, reply) = (udp_frame(addr(cli), 5, addr(srv), 6), udp_frame(addr(srv), 6, addr(cli), 5));
        assert_eq!(there.fate(&request), Fate::Passed);
        back.put(&reply);
        assert_eq!(there.fate(&request), Fate::Passed);
        thread::sleep(Duration::from_millis(2100));
        assert_eq!(back.fate(&reply), Fate::Dropped(POLICY_DENIED));
        assert_eq!(there.fate(&request), Fate::Passed, "and begins again");
        assert_eq!(back.fate(&reply), Fate::Passed);
    }
}

#[test]
fn a_tcp_connection_is_forgotten_by_its_state() {
    let Some(world) = World::with(&HASTY, ANSWERS_ONLY, &[]) else { return };
    for [cli, srv, _] in PODS {
        let (there, back) = (world.road(CLI, SRV), world.road(SRV, CLI));
        let sent = |port, flags| tcp_frame(addr(cli), port, addr(srv), 6, flags);
        let got = |port, flags| tcp_frame(addr(srv), 6, addr(cli), port, flags);
        // 5: half open. 6: established. 7: closed by both.
        for port in [5, 6, 7] {
            assert_eq!(there.fate(&sent(port, SYN)), Fate::Passed);
        }
        for port in [6, 7] {
            back.put(&got(port, SYN | ACK));
            there.put(&sent(port, ACK));
        }
        there.put(&sent(7, FIN | ACK));
        back.put(&got(7, FIN | ACK));
        thread::sleep(Duration::from_millis(2100));
        assert_eq!(back.fate(&got(5, SYN | ACK)), Fate::Dropped(POLICY_DENIED), "half open");
        assert_eq!(back.fate(&got(6, ACK)), Fate::Passed, "established");
        assert_eq!(back.fate(&got(7, ACK)), Fate::Dropped(POLICY_DENIED), "closed");
        assert_eq!(there.fate(&sent(7, SYN)), Fate::Passed, "a SYN opens it again");
        assert_eq!(back.fate(&got(7, SYN | ACK)), Fate::Passed);
    }
}
