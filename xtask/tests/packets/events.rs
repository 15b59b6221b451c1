//! What a node says about what it drops, and that saying it does not cost it its work.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::ChildStdout;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ciliumc_abi::drop_reason::{INVALID_SOURCE_IP, POLICY_DENIED};

use crate::connections::to;
use crate::frames::*;
use crate::world::*;

#[test]
fn every_drop_is_counted_once_under_its_reason() {
    let Some(world) = World::new(GUARDED) else { return };
    let road = world.road(OTH, SRV);
    for [cli, srv, oth] in PODS {
        let before = world.drops();
        for port in 0..50 {
            road.put(&udp_frame(addr(oth), 1000 + port, addr(srv), 8080));
        }
        for _ in 0..7 {
            road.put(&udp_frame(addr(cli), 1, addr(srv), 8080));
        }
        thread::sleep(Duration::from_millis(100));
        let moved = |reason| world.drops()[&reason] - before.get(&reason).copied().unwrap_or(0);
        assert_eq!((moved(POLICY_DENIED), moved(INVALID_SOURCE_IP)), (50, 7));
    }
}

/// What `monitor` prints, line by line, and the thread that waits for it.
fn lines(stdout: ChildStdout) -> (Receiver<String>, JoinHandle<usize>) {
    let lines = BufReader::new(stdout).lines();
    let (tell, told) = channel();
    let reader =
        thread::spawn(move || lines.map_while(Result::ok).take_while(|line| tell.send(line.clone()).is_ok()).count());
    (told, reader)
}

#[test]
fn a_drop_is_told_with_its_flow() {
    let Some(world) = World::new(GUARDED) else { return };
    let mut monitor = world.lab.monitor().unwrap();
    let (told, reader) = lines(monitor.0.stdout.take().unwrap());
    let road = world.road(OTH, SRV);
    for [_, srv, oth] in PODS {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            assert!(Instant::now() < end, "no line about {srv}");
            road.put(&udp_frame(addr(oth), 4444, addr(srv), 8080));
            let line = told.recv_timeout(Duration::from_millis(200)).unwrap_or_default();
            if line.contains("t/oth") && line.contains("t/srv") && line.contains("8080") && line.contains("denied") {
                break;
            }
        }
    }
    drop(told);
    drop(monitor);
    reader.join().unwrap();
}

#[test]
fn what_passes_is_told_within_a_moment_and_what_is_dropped_is_told_beside_it() {
    let Some(world) = World::new(GUARDED) else { return };
    let mut monitor = world.lab.monitor().unwrap();
    let (told, reader) = lines(monitor.0.stdout.take().unwrap());
    let until = |words: &[&str]| {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let line = told.recv_timeout(end.saturating_duration_since(Instant::now())).expect("a line with the words");
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    };
    for [cli, srv, oth] in PODS {
        let server = world.at(SRV, || UdpSocket::bind(to(srv, 8080)).unwrap());
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let client = world.at(CLI, || UdpSocket::bind(to(cli, 0)).unwrap());
        let port = client.local_addr().unwrap().port().to_string();
        // The reader is there as soon as it has told of some packet.
        client.send_to(b"?", to(srv, 8080)).unwrap();
        until(&["trace  egress", &port, "to-stack state new"]);
        until(&["trace  ingress", &port, "to-endpoint state new"]);
        let begin = Instant::now();
        let (length, from) = server.recv_from(&mut [0; 8]).unwrap();
        server.send_to(&[0; 8][..length], from).unwrap();
        until(&["trace  ingress", &port, "to-endpoint state reply"]);
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        let stranger = world.at(OTH, || UdpSocket::bind(to(oth, 0)).unwrap());
        let port = stranger.local_addr().unwrap().port().to_string();
        stranger.send_to(b"?", to(srv, 8080)).unwrap();
        let line = until(&["  ingress", &port]);
        assert!(line.starts_with("drop  "), "{line}");
    }
    drop(told);
    drop(monitor);
    reader.join().unwrap();
}

#[test]
fn a_flood_of_drops_starves_nobody() {
    let Some(world) = World::new(GUARDED) else { return };
    let _monitor = world.lab.monitor().unwrap();
    for [cli, srv, oth] in PODS {
        let stop = AtomicBool::new(false);
        let road = world.road(OTH, SRV);
        let server = world.at(SRV, || UdpSocket::bind(to(srv, 8080)).unwrap());
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let client = world.at(CLI, || UdpSocket::bind(to(cli, 0)).unwrap());
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let before = world.drops().get(&POLICY_DENIED).copied().unwrap_or(0);
        let (sent, answered) = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut sent = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    road.put(&udp_frame(addr(oth), (sent % 60_000) as u16, addr(srv), 8080));
                    sent += 1;
                }
                sent
            });
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = server.recv_from(&mut [0; 8]) {
                        server.send_to(&[0; 8][..length], from).unwrap();
                    }
                }
            });
            let mut answered = 0;
            for _ in 0..100 {
                client.send_to(b"?", to(srv, 8080)).unwrap();
                answered += usize::from(client.recv(&mut [0; 8]).is_ok());
                thread::sleep(Duration::from_millis(10));
            }
            stop.store(true, Ordering::Relaxed);
            (flood.join().unwrap(), answered)
        });
        assert!(answered >= 99, "{answered} of 100 while {sent} were dropped");
        let dropped = world.drops()[&POLICY_DENIED] - before;
        assert_eq!(dropped, sent, "each is counted, reported or not");
        assert!(sent > 20_000, "{sent} packets are no flood");
    }
    let text = world.lab.load(&["metrics", "--prometheus"]).unwrap();
    assert!(text.lines().any(|line| line.starts_with("ciliumc_events_lost_total ")), "{text}");
}
