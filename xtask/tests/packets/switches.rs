//! Policy that changes under living flows.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::connections::to;
use crate::world::*;

/// The whole of [`a_permitted_stream_through_many_switches`] is 1000.
const SWITCHES: &str = "CILIUMC_SWITCHES";

/// [`GUARDED`] with other tables and the same permissions for the client.
fn rearranged() -> String {
    GUARDED.replace(
        "  egress: [{}]",
        "  - fromCIDR: [192.0.2.0/24]\n    toPorts: [{ports: [{port: \"1\"}]}]\n  egress: [{}]",
    )
}

/// Tells threads to stop, also when a test fails: a scope waits for them.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers one byte with the same until it is told to stop.
fn serve(listener: &TcpListener, stop: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_ok() {
            let _ = stream.write_all(&byte);
        }
    }
}

#[test]
fn a_permitted_stream_through_many_switches() {
    let Some(world) = World::new(GUARDED) else { return };
    let switches = amount(SWITCHES, 20);
    let bundles = [world.bundle(&[], &rearranged()), world.bundle(&[], GUARDED)];
    let (stop, done, bypassed) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let listeners: Vec<_> =
        PODS.iter().map(|[_, srv, _]| world.at(SRV, || TcpListener::bind(to(srv, 8080)).unwrap())).collect();
    // Whatever arrives here has got past policy.
    let traps: Vec<_> =
        PODS.iter().map(|[_, srv, _]| world.at(SRV, || UdpSocket::bind(to(srv, 9999)).unwrap())).collect();
    let (requests, failed, attempts) = thread::scope(|scope| {
        let (stopping, ending) = (Stop(&stop), Stop(&done));
        for listener in &listeners {
            scope.spawn(|| serve(listener, &done));
        }
        for trap in &traps {
            trap.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    bypassed.fetch_add(u64::from(trap.recv(&mut [0; 8]).is_ok()), Ordering::Relaxed);
                }
            });
        }
        let clients: Vec<_> = PODS
            .iter()
            .map(|[_, srv, _]| {
                let (world, stop) = (&world, &stop);
                scope.spawn(move || world.at(CLI, || requests(to(srv, 8080), stop)))
            })
            .collect();
        let intruders: Vec<_> = PODS
            .iter()
            .map(|[_, srv, oth]| {
                let socket = world.at(OTH, || UdpSocket::bind(to(oth, 0)).unwrap());
                let stop = &stop;
                scope.spawn(move || {
                    let mut sent = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        // New ports and an old one: neither by policy nor by a connection.
                        socket.send_to(b"let me", to(srv, 9999)).unwrap();
                        sent += 1;
                        thread::sleep(Duration::from_micros(300));
                    }
                    sent
                })
            })
            .collect();
        for round in 0..switches {
            world.lab.apply(&bundles[round % 2]).unwrap();
        }
        drop(stopping);
        let results: Vec<(u64, Vec<String>)> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let attempts: u64 = intruders.into_iter().map(|intruder| intruder.join().unwrap()).sum();
        drop(ending);
        let failed: Vec<String> = results.iter().flat_map(|(_, failed)| failed.clone()).collect();
        (results.iter().map(|(count, _)| count).sum::<u64>(), failed, attempts)
    });
    println!("{switches} switches, {requests} requests, {attempts} attempts to get past");
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(bypassed.load(Ordering::Relaxed), 0);
    assert!(requests > 100 && attempts > 100, "{requests} requests, {attempts} attempts");
}

/// Requests, each on a connection of its own, and what went wrong.
fn requests(target: std::net::SocketAddr, stop: &AtomicBool) -> (u64, Vec<String>) {
    let (mut count, mut failed) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let one = || {
            let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(&[7])?;
            let mut byte = [0];
            stream.read_exact(&mut byte)
        };
        count += 1;
        failed.extend(one().err().map(|error| format!("request {count}: {error}")));
    }
    (count, failed)
}

/// Lets bytes flow from one end to the other and says when the last one came.
fn pump(mut source: TcpStream, mut sink: TcpStream, stop: &AtomicBool, last: &AtomicU64, start: Instant) {
    source.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    sink.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let _ = source.write(&[7; 512]);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let mut buffer = [0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            if matches!(sink.read(&mut buffer), Ok(count) if count > 0) {
                last.store(start.elapsed().as_millis() as u64, Ordering::Relaxed);
            }
        }
    });
}

/// Opens a connection, lets its `client` or its server send, takes the permission away, and returns how many
/// milliseconds after that the last byte came.
fn revoke(world: &World, srv: &str, from: &str, upload: bool, bundle: &std::path::Path) -> u64 {
    let listener = world.at(SRV, || TcpListener::bind(to(srv, 8080)).unwrap());
    let client = world.at(from, || TcpStream::connect_timeout(&to(srv, 8080), Duration::from_secs(5)).unwrap());
    let (server, _) = listener.accept().unwrap();
    let (source, sink) = if upload { (client, server) } else { (server, client) };
    let (stop, last, start) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        let _stopping = Stop(&stop);
        scope.spawn(|| pump(source, sink, &stop, &last, start));
        thread::sleep(Duration::from_millis(300));
        assert!(last.load(Ordering::Relaxed) > 0, "nothing flows");
        world.lab.apply(bundle).unwrap();
        let applied = start.elapsed().as_millis() as u64;
        thread::sleep(Duration::from_millis(1500));
        last.load(Ordering::Relaxed).saturating_sub(applied)
    })
}

#[test]
fn revocation_cuts_a_living_connection_in_both_directions() {
    let shut = GUARDED.replace("{app: cli}", "{app: nobody}");
    for upload in [true, false] {
        let Some(world) = World::new(GUARDED) else { return };
        let bundles = [world.bundle(&[], &shut), world.bundle(&[], GUARDED)];
        for [_, srv, _] in PODS {
            let after = revoke(&world, srv, CLI, upload, &bundles[0]);
            assert!(after < 1000, "bytes came {after} ms after the permission was gone, upload {upload}");
            world.lab.apply(&bundles[1]).unwrap();
            let kept = revoke(&world, srv, CLI, upload, &bundles[1]);
            assert!(kept > 1000, "a connection that is still allowed goes on: {kept} ms");
        }
    }
}

#[test]
fn revocation_of_the_clients_egress_cuts_as_well() {
    let allow = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cli, namespace: t}
spec:
  endpointSelector: {matchLabels: {app: cli}}
  ingress: [{}]
  egress: [{toEndpoints: [{matchLabels: {app: srv}}]}]
";
    let Some(world) = World::new(allow) else { return };
    let shut = world.bundle(&[], &allow.replace("{app: srv}", "{app: nobody}"));
    let open = world.bundle(&[], allow);
    for [_, srv, _] in PODS {
        for upload in [true, false] {
            assert!(revoke(&world, srv, CLI, upload, &shut) < 1000, "upload {upload}");
            world.lab.apply(&open).unwrap();
        }
    }
}

/// The client asks once, and never says a word again; the server numbers what it sends it. What the client got before and
/// after `change`, and how many milliseconds after it the last one came.
struct Heard {
    numbers: Vec<u64>,
    sent: u64,
    last_ms: u64,
}

fn listen(world: &World, [cli, srv]: [&str; 2], change: impl FnOnce()) -> Heard {
    let server = world.at(SRV, || UdpSocket::bind(to(srv, 8080)).unwrap());
    let client = world.at(CLI, || UdpSocket::bind(to(cli, 0)).unwrap());
    client.send_to(b"all of it", to(srv, 8080)).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let (_, asked) = server.recv_from(&mut [0; 64]).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let stopping = Stop(&stop);
        let sender = scope.spawn(|| {
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                // The socket hears of it when the node drops for want of a route; policy is silent.
                server.send_to(&sent.to_ne_bytes(), asked).unwrap();
                sent += 1;
                thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        let receiver = scope.spawn(|| {
            let (mut numbers, mut last, mut bytes) = (Vec::new(), Duration::ZERO, [0; 8]);
            loop {
                match client.recv(&mut bytes) {
                    Ok(_) => {
                        numbers.push(u64::from_ne_bytes(bytes));
                        last = start.elapsed();
                    }
                    Err(_) if stop.load(Ordering::Relaxed) => return (numbers, last),
                    Err(_) => {}
                }
            }
        });
        thread::sleep(Duration::from_millis(200));
        change();
        let changed = start.elapsed();
        thread::sleep(Duration::from_millis(700));
        drop(stopping);
        let sent = sender.join().unwrap();
        let (numbers, last) = receiver.join().unwrap();
        assert!(!numbers.is_empty(), "nothing flows");
        Heard { numbers, sent, last_ms: last.saturating_sub(changed).as_millis() as u64 }
    })
}

/// The client's egress alone is isolated: the server may begin whatever it likes.
const CLIENT: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cli, namespace: t}
spec:
  endpointSelector: {matchLabels: {app: cli}}
  egress: [{toEndpoints: [{matchLabels: {app: srv}}], toPorts: [{ports: [{port: \"8080\", protocol: ANY}]}]}]
";

#[test]
fn revocation_cuts_off_a_client_that_only_listens() {
    let server = GUARDED.replace("  egress: [{}]\n", "");
    for (open, shut) in [
        (CLIENT.to_owned(), CLIENT.replace("{app: srv}", "{app: nobody}")),
        (server.clone(), server.replace("{app: cli}", "{app: nobody}")),
    ] {
        let Some(world) = World::new(&open) else { return };
        let bundles = [world.bundle(&[], &shut), world.bundle(&[], &open)];
        for [cli, srv, _] in PODS {
            let heard = listen(&world, [cli, srv], || world.lab.apply(&bundles[0]).unwrap());
            assert!(heard.last_ms < 100, "the last one came {} ms after the permission was gone", heard.last_ms);
            assert!(heard.sent > heard.numbers.len() as u64, "all of {} came", heard.sent);
            let states = world.lab.load(&["ct", "list"]).unwrap();
            assert!(states.contains("revoked"), "{states}");
            world.lab.apply(&bundles[1]).unwrap();
        }
    }
}

#[test]
fn a_client_that_only_listens_misses_nothing_in_many_switches() {
    let again = CLIENT.replace("8080", "8000\", endPort: 8090, protocol: TCP}, {port: \"8080");
    let Some(world) = World::new(CLIENT) else { return };
    let bundles = [world.bundle(&[], &again), world.bundle(&[], CLIENT)];
    for [cli, srv, _] in PODS {
        let heard = listen(&world, [cli, srv], || {
            for round in 0..6 {
                world.lab.apply(&bundles[round % 2]).unwrap();
            }
        });
        let all: Vec<u64> = (0..heard.sent).collect();
        assert_eq!(heard.numbers, all);
        assert_eq!(world.drops().values().sum::<u64>(), 0);
    }
}

#[test]
fn an_identity_that_came_at_run_time_survives_a_switch() {
    let strangers = [OUTSIDE[0][0], OUTSIDE[1][0]];
    let Some(world) = World::with(&[], GUARDED, &strangers) else { return };
    let flows: Vec<String> = strangers
        .iter()
        .zip(["tcp4", "tcp6"])
        .map(|(stranger, word)| format!("ip:{stranger} {SRV} {word} 8080"))
        .collect();
    let table = |verdict| flows.iter().map(|flow| (flow.as_str(), verdict)).collect::<Vec<_>>();
    world.check(&table(DENY));
    for stranger in strangers {
        world.lab.load(&["ipcache", "upsert", stranger, "--labels", "app=cli", "--namespace", "t"]).unwrap();
    }
    world.check(&table(ALLOW));
    world.lab.apply(&world.bundle(&[], &rearranged())).unwrap();
    world.check(&table(ALLOW));
    world.lab.load(&["ipcache", "delete", strangers[0]]).unwrap();
    world.check(&[(flows[0].as_str(), DENY), (flows[1].as_str(), ALLOW)]);
}
