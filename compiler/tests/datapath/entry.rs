//! Who may come to a program: endpoints that it has, each at its own slot.

use ciliumc_abi::drop_reason::EP_NOT_READY;
use ciliumc_abi::event::{DropEvent, EVENT_DROP};

use crate::frames::*;
use crate::machine::{ENDPOINT_ID, Machine, Policy, Setup};

#[test]
fn only_the_endpoint_of_the_slot_is_judged() {
    let Some(mut open) = Machine::new(&Setup::new(Policy::AllowAll, Policy::AllowAll)) else { return };
    for [pod, peer, ..] in FAMILIES {
        let frame = udp_frame(pod, 40_000, peer, 53);
        assert_eq!(open.entered((0, ENDPOINT_ID), &frame), [0, 0]);
        // Another endpoint at the slot, nobody, beyond the last slot, and the words that nobody wrote.
        for entry in [(0, ENDPOINT_ID + 1), (0, 0), (1, ENDPOINT_ID), (u32::MAX, ENDPOINT_ID), (1, 0)] {
            open.events();
            assert_eq!(open.entered(entry, &frame), [EP_NOT_READY; 2], "{entry:?}");
            let events = open.events();
            assert_eq!((events.len(), events[0].len()), (2, size_of::<DropEvent>()));
            assert!(events.iter().all(|event| event[..4] == [EVENT_DROP, EP_NOT_READY, 0, 0]), "{events:?}");
        }
    }
}

#[test]
fn a_free_slot_lets_nobody_in() {
    let Some(mut open) = Machine::new(&Setup::new(Policy::AllowAll, Policy::AllowAll)) else { return };
    open.free_slot();
    for [pod, peer, ..] in FAMILIES {
        for entry in [(0, 0), (0, ENDPOINT_ID)] {
            assert_eq!(open.entered(entry, &udp_frame(pod, 40_000, peer, 53)), [EP_NOT_READY; 2], "{entry:?}");
        }
    }
}
