//! What holds a link together, which no policy may cut, and who a packet is from.

use std::net::IpAddr;
use std::time::Duration;

use ciliumc_abi::drop_reason::INVALID_SOURCE_IP;
use xtask::wire::addressed;

use crate::frames::*;
use crate::world::*;

const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn the_gateway_answers_arp_under_every_policy() {
    let Some(world) = World::new(SHUT) else { return };
    let road = world.road(CLI, SRV);
    let [cli, srv, _] = PODS[0];
    let (IpAddr::V4(own), IpAddr::V4(gateway), IpAddr::V4(other)) = (addr(cli), addr(NODE[0]), addr(srv)) else {
        unreachable!()
    };
    let ask = |sender| road.from.send(&addressed(&arp(sender, gateway), road.from.mac, [0xff; 6])).unwrap();
    let answer = |seen: &[u8]| seen[12..14] == [8, 6] && seen[21] == 2 && seen[28..32] == gateway.octets();
    ask(own);
    assert!(road.from.find(PATIENCE, answer).unwrap().is_some());
    let before = world.drops().get(&INVALID_SOURCE_IP).copied().unwrap_or(0);
    ask(other);
    assert!(road.from.find(Duration::from_millis(300), answer).unwrap().is_none(), "a liar");
    assert_eq!(world.drops().get(&INVALID_SOURCE_IP).copied().unwrap_or(0), before + 1);
}

#[test]
fn the_gateway_answers_neighbour_solicitations_under_every_policy() {
    let Some(world) = World::new(SHUT) else { return };
    let road = world.road(CLI, SRV);
    let [cli, srv, _] = PODS[1];
    let IpAddr::V6(gateway) = addr(NODE[1]) else { unreachable!() };
    let answer =
        |seen: &[u8]| seen.len() >= 78 && seen[20] == ICMP6 && seen[54] == 136 && seen[62..78] == gateway.octets();
    let ask = |sender: &str| {
        let (IpAddr::V6(source), IpAddr::V6(_)) = (addr(sender), addr(srv)) else { unreachable!() };
        let mut option = vec![1, 1];
        option.extend(road.from.mac);
        let mut message = [&icmp(135, 0, 0, &gateway.octets())[..], &option].concat();
        message[4..8].fill(0);
        let checksum = checksum6(source.octets(), gateway.octets(), &message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        road.put(&frame(&ipv6(source, gateway, ICMP6, 255, &message)));
    };
    ask(cli);
    assert!(road.from.find(PATIENCE, answer).unwrap().is_some());
    ask(srv);
    assert!(road.from.find(Duration::from_millis(300), answer).unwrap().is_none(), "a liar");
}

/// Says more of the client's endpoint than that it is there.
fn add_client(world: &World, words: &[&str]) {
    let interface = world.lab.interface(&place(CLI)).unwrap();
    let all = [&["endpoint", "add", "--endpoint", "t/cli", "--interface", interface][..], words].concat();
    world.lab.load(&all).unwrap();
}

#[test]
fn the_program_answers_for_the_gateway_where_the_host_does_not() {
    let Some(world) = World::new(OPEN) else { return };
    let interface = world.lab.interface(&place(CLI)).unwrap().to_owned();
    // The host tells nobody on this link where its addresses are, but forwards what comes to its MAC address.
    let deaf = format!("-6 address del {}/128 dev {interface}", NODE[1]);
    world.at("host", || {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/arp_ignore"), "8").unwrap();
        assert!(std::process::Command::new("ip").args(deaf.split(' ')).status().unwrap().success());
    });
    let flows = ["tcp4", "tcp6"].map(|word| format!("{CLI} {SRV} {word} 80"));
    let table = |verdict| flows.iter().map(|flow| (flow.as_str(), verdict)).collect::<Vec<_>>();
    world.lab.forget_neighbours().unwrap();
    world.check(&table(DENY));
    add_client(&world, &["--gateway", NODE[0], "--gateway", NODE[1]]);
    world.lab.forget_neighbours().unwrap();
    world.check(&table(ALLOW));
    let told = world.lab.load(&["endpoint", "get", "--endpoint", "t/cli"]).unwrap();
    assert!(told.contains(&format!("gateway {}, {} at ", NODE[0], NODE[1])), "{told}");
}

#[test]
fn a_frame_with_a_strange_mac_address_is_dropped_where_it_is_known() {
    let Some(world) = World::new(OPEN) else { return };
    let road = world.road(CLI, SRV);
    let mac = road.from.mac.map(|octet| format!("{octet:02x}")).join(":");
    let Fate::Passed = road.fate(&udp_frame(addr(PODS[0][0]), 5, addr(PODS[0][1]), 6)) else { panic!("not open") };
    let liar = |family: usize, port| {
        let [cli, srv, _] = PODS[family];
        let mut frame = addressed(&udp_frame(addr(cli), 5, addr(srv), port), road.from.mac, road.gateway);
        frame[11] ^= 1;
        frame
    };
    let drops = || world.drops().get(&INVALID_SOURCE_IP).copied().unwrap_or(0);
    for (added, lies) in [(false, 0), (true, 2)] {
        if added {
            add_client(&world, &["--mac", &mac]);
        }
        let before = drops();
        for family in [0, 1] {
            road.from.send(&liar(family, 6)).unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(drops() - before, lies);
    }
    for [cli, srv, _] in PODS {
        assert_eq!(road.fate(&udp_frame(addr(cli), 5, addr(srv), 7)), Fate::Passed);
    }
    world.check(&[(&format!("{CLI} {SRV} tcp4 80"), ALLOW), (&format!("{CLI} {SRV} tcp6 80"), ALLOW)]);
}

fn checksum6(source: [u8; 16], destination: [u8; 16], message: &[u8]) -> u16 {
    let length = (message.len() as u32).to_be_bytes();
    let all = [&source[..], &destination, &length, &[0, 0, 0, ICMP6], message].concat();
    let sum: u32 = all.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    !(((folded >> 16) + folded) as u16)
}

#[test]
fn the_mark_tells_the_node_who_sent_a_packet() {
    let Some(world) = World::new(OPEN) else { return };
    let endpoints: serde_json::Value =
        serde_json::from_str(&world.lab.load(&["endpoint", "list", "-o", "json"]).unwrap()).unwrap();
    let text = endpoints.to_string();
    let list = endpoints.as_array().or_else(|| endpoints["endpoints"].as_array()).unwrap_or_else(|| panic!("{text}"));
    let cli = list.iter().find(|one| one.to_string().contains("t/cli")).unwrap_or_else(|| panic!("{text}"));
    let identity = cli["record"]["identity"].as_u64().unwrap_or_else(|| panic!("{text}"));
    let mark = (identity & 0xffff) << 16 | 0x0f00 | identity >> 16 & 0xff;
    let flows = ["tcp4", "tcp6"].map(|word| (format!("{CLI} {SRV} {word} 80"), format!("{OTH} {SRV} {word} 80")));
    let table = |cut| flows.iter().flat_map(|(a, b)| [(a.as_str(), cut), (b.as_str(), ALLOW)]).collect::<Vec<_>>();
    world.check(&table(ALLOW));
    // The node's own routing tells the two apart.
    let rule = |family: &str| format!("{family} rule add fwmark {mark:#x} priority 10 table 77");
    let hole = |family: &str| format!("{family} route add blackhole default table 77");
    for family in ["-4", "-6"] {
        for line in [rule(family), hole(family)] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            world.at("host", || assert!(std::process::Command::new("ip").args(words).status().unwrap().success()));
        }
    }
    let cut: Vec<_> = table(DENY);
    let only = |which: usize| cut.iter().skip(which).step_by(2).copied().collect::<Vec<_>>();
    for (flow, _) in only(0) {
        let words: Vec<&str> = flow.split(' ').collect();
        let ipv6 = words[2].ends_with('6');
        let address = std::net::SocketAddr::new(addr(PODS[usize::from(ipv6)][1]), 80);
        let refused = world.at(CLI, || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)));
        assert!(refused.is_err(), "{flow}");
    }
    world.check(&only(1));
}
