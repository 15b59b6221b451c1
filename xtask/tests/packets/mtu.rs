//! Path-MTU discovery through a hop that takes 1400 bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::connections::to;
use crate::world::*;

/// The client may talk to the far end's network, and nobody to the client.
const POLICY: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cli, namespace: t}
spec:
  endpointSelector: {matchLabels: {app: cli}}
  ingress: [{}]
  egress: [{toCIDR: [203.0.113.9/32, '2001:db8:9::9/128']}]
";

/// Router and far end.
const HOPS: [[&str; 2]; 2] = [["198.51.100.7", "203.0.113.9"], ["2001:db8::7", "2001:db8:9::9"]];

fn wired(option: &str) -> Option<World> {
    let mut world = World::unguarded(&[("allow-icmp-frag-needed", option)], POLICY, &[HOPS[0][0], HOPS[1][0]])?;
    for [router, far] in HOPS {
        world.lab.hop(addr(router), addr(far), 1400).unwrap();
    }
    world.lab.attach().unwrap();
    Some(world)
}

#[test]
fn a_stream_finds_the_mtu_of_its_path() {
    for option in ["true", "false"] {
        let Some(world) = wired(option) else { return };
        for [router, far] in HOPS {
            let place = format!("ip:{far}");
            let listener = world.at(&place, || TcpListener::bind(to(far, 80)).unwrap());
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                all.len()
            });
            let mut client =
                world.at(CLI, || TcpStream::connect_timeout(&to(far, 80), Duration::from_secs(3)).unwrap());
            client.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
            client.write_all(&vec![7; 1 << 20]).unwrap();
            drop(client);
            assert_eq!(server.join().unwrap(), 1 << 20, "over {router}");
            let family = if far.contains(':') { "-6" } else { "-4" };
            let out = world
                .at(CLI, || std::process::Command::new("ip").args([family, "route", "get", far]).output().unwrap());
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(text.contains("mtu 1400"), "{text}");
            let refused = world.at(CLI, || TcpStream::connect_timeout(&to(router, 80), Duration::from_millis(500)));
            assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut, "the router is not the far end");
        }
    }
}

#[test]
fn a_datagram_that_is_too_long_is_an_error_for_its_sender() {
    let Some(world) = wired("true") else { return };
    for [_, far] in HOPS {
        let words = ["-n", "-c", "3", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1420", far];
        let out = world.at(CLI, || std::process::Command::new("ping").args(words).output().unwrap());
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(text.contains("mtu"), "{text}");
        assert!(!out.status.success());
        let words = ["-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1300", far];
        assert!(world.at(CLI, || std::process::Command::new("ping").args(words).output().unwrap()).status.success());
    }
}
