//! ICMP: by its type as policy says, and errors about what the endpoint sent.

use ciliumc_abi::drop_reason::POLICY_DENIED;

use crate::frames::*;
use crate::world::*;

/// A router nobody has heard of.
const ROUTERS: [&str; 2] = [OUTSIDE[0][0], OUTSIDE[1][0]];

#[test]
fn an_error_passes_when_it_is_about_a_flow_of_the_endpoint() {
    let policy = SHUT.replace("egress: [{}]", "egress: [{toEntities: [cluster]}]");
    let options = [("allow-icmp-frag-needed", "false")];
    let Some(world) = World::with(&options, &policy, &ROUTERS) else { return };
    for ([cli, srv, oth], router) in PODS.into_iter().zip(ROUTERS) {
        let inwards = world.road(&format!("ip:{router}"), CLI);
        let kinds: &[(u8, u8)] =
            if router.contains(':') { &[(1, 4), (2, 0), (3, 0), (4, 1)] } else { &[(3, 3), (3, 4), (11, 0), (12, 0)] };
        let sent = packet(addr(cli), addr(srv), UDP, &udp(1000, 80));
        let stray = packet(addr(cli), addr(oth), UDP, &udp(1000, 81));
        let error = |kind, code, quoted: &[u8]| error_frame(addr(router), addr(cli), kind, code, quoted);
        assert_eq!(inwards.fate(&error(kinds[0].0, kinds[0].1, &sent)), Fate::Dropped(POLICY_DENIED), "too early");
        world.road(CLI, SRV).put(&frame(&sent));
        std::thread::sleep(std::time::Duration::from_millis(50));
        for &(kind, code) in kinds {
            assert_eq!(inwards.fate(&error(kind, code, &sent)), Fate::Passed, "{kind} {code}");
            assert_eq!(inwards.fate(&error(kind, code, &stray)), Fate::Dropped(POLICY_DENIED), "{kind} {code}");
        }
    }
}

#[test]
fn fragmentation_needed_passes_by_option_even_against_a_deny() {
    let deny = SHUT.replace("ingress: [{}]", "ingressDeny: [{fromEntities: [all]}]");
    for (option, fate) in [("true", Fate::Passed), ("false", Fate::Dropped(181))] {
        let Some(world) = World::with(&[("allow-icmp-frag-needed", option)], &deny, &ROUTERS) else { return };
        let [cli, srv, _] = PODS[0];
        let inwards = world.road(&format!("ip:{}", ROUTERS[0]), CLI);
        let stray = packet(addr(cli), addr(srv), UDP, &udp(1000, 80));
        assert_eq!(inwards.fate(&error_frame(addr(ROUTERS[0]), addr(cli), 3, 4, &stray)), fate, "{option}");
        assert_eq!(inwards.fate(&error_frame(addr(ROUTERS[0]), addr(cli), 3, 3, &stray)), Fate::Dropped(181));
    }
}

#[test]
fn other_types_are_what_policy_says() {
    let Some(world) = World::new(GUARDED) else { return };
    let road = world.road(CLI, SRV);
    for [cli, srv, oth] in PODS {
        assert_eq!(road.fate(&echo_frame(addr(cli), addr(srv), false, 3)), Fate::Passed);
        assert_eq!(
            world.road(OTH, SRV).fate(&echo_frame(addr(oth), addr(srv), false, 3)),
            Fate::Dropped(POLICY_DENIED)
        );
        // Timestamp, and a router's redirect that no router sent.
        for kind in if cli.contains(':') { [100, 137] } else { [13, 5] } {
            let frame = ip(addr(cli), addr(srv), icmp_of(addr(cli)), &icmp(kind, 0, 1, &[0; 8]));
            assert_eq!(road.fate(&frame), Fate::Dropped(POLICY_DENIED), "{kind}");
        }
    }
}

#[test]
fn a_hop_limit_that_ends_on_the_way_is_reported_to_the_sender() {
    let Some(world) = World::new(GUARDED) else { return };
    for [_, srv, _] in PODS {
        let words = ["-n", "-c", "1", "-W", "1", "-t", "1", srv];
        let out = world.at(CLI, || std::process::Command::new("ping").args(words).output().unwrap());
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains("exceeded"), "{text}");
        assert!(!out.status.success());
    }
}
