//! Many flows at a time, and more than there is room for.

use std::net::UdpSocket;
use std::time::Duration;

use ciliumc_abi::drop_reason::CT_MAP_INSERT_FAILED;

use crate::connections::to;
use crate::world::*;

/// Flows of each family in the test of many.
const FLOWS: usize = 5000;

/// The client's sockets, each of which asks the server once and says whether it was answered.
fn ask(server: &UdpSocket, clients: &[UdpSocket]) -> usize {
    let mut buffer = [0; 4];
    let mut answered = 0;
    // So few at a time that no queue runs over.
    for group in clients.chunks(64) {
        for (number, client) in group.iter().enumerate() {
            client.send(&(number as u32).to_be_bytes()).unwrap();
        }
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            server.send_to(&buffer[..length], from).unwrap();
        }
        answered += group.iter().filter(|client| client.recv(&mut buffer).is_ok()).count();
    }
    answered
}

fn sockets(world: &World, count: usize, cli: &str, srv: &str) -> (UdpSocket, Vec<UdpSocket>) {
    let server = world.at(SRV, || UdpSocket::bind(to(srv, 8080)).unwrap());
    server.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
    let clients = world.at(CLI, || {
        let one = |_| {
            let client = UdpSocket::bind(to(cli, 0)).unwrap();
            client.connect(to(srv, 8080)).unwrap();
            client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            client
        };
        (0..count).map(one).collect::<Vec<_>>()
    });
    (server, clients)
}

#[test]
fn ten_thousand_flows_live_side_by_side() {
    let Some(world) = World::new(GUARDED) else { return };
    let sets: Vec<_> = PODS.into_iter().map(|[cli, srv, _]| sockets(&world, FLOWS, cli, srv)).collect();
    for round in 0..2 {
        for (server, clients) in &sets {
            let mut answered = ask(server, clients);
            if answered < FLOWS {
                // A busy machine loses datagrams; a flow that has no entry would lose them every time.
                answered = answered.max(ask(server, clients));
            }
            assert!(answered >= FLOWS - FLOWS / 100, "round {round}: {answered} of {FLOWS}");
        }
    }
    let text = world.lab.load(&["ct", "list", "-o", "json"]).unwrap();
    let entries: serde_json::Value = serde_json::from_str(&text).unwrap();
    let count = entries.as_array().unwrap().len();
    assert!(count >= 2 * 2 * FLOWS, "{count} entries: both ends of every flow have one");
    assert_eq!(world.drops().get(&CT_MAP_INSERT_FAILED), None);
}

#[test]
fn a_full_table_refuses_new_flows_and_harms_no_old_ones() {
    const ENTRIES: usize = 256;
    let options = [("bpf-ct-global-tcp-max", "256"), ("bpf-ct-timeout-regular-any", "4s")];
    let Some(world) = World::with(&options, GUARDED, &[]) else { return };
    for [cli, srv, _] in PODS {
        let (server, old) = sockets(&world, 20, cli, srv);
        assert_eq!(ask(&server, &old), 20);
        let (_, crowd) = {
            drop(server);
            sockets(&world, ENTRIES, cli, srv)
        };
        for client in &crowd {
            client.send(b"new?").unwrap();
        }
        let refused = world.drops().get(&CT_MAP_INSERT_FAILED).copied().unwrap_or(0);
        assert!(refused > 0, "the table is full");
        drop(crowd);
        let server = world.at(SRV, || UdpSocket::bind(to(srv, 8080)).unwrap());
        server.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
        assert_eq!(ask(&server, &old), 20, "the old ones go on");
        std::thread::sleep(Duration::from_secs(7));
        drop(server);
        let (server, new) = sockets(&world, 10, cli, srv);
        assert_eq!(ask(&server, &new), 10, "what has expired makes room");
    }
}
