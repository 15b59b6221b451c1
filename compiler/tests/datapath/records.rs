//! Records of the ring, read by the places of their fields.

use std::mem::offset_of;

use ciliumc_abi::event::{DropEvent, EVENT_TRACE, EventTail};

use crate::machine::Machine;

/// A record's fields by place.
#[derive(Debug)]
pub struct Record(pub Vec<u8>);

impl Record {
    pub fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }

    pub fn half(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.0[at..at + 2].try_into().unwrap())
    }

    pub fn word(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    /// Cause, generation, direction, family, protocol, flags, ports.
    pub fn tail(&self) -> (u32, u32, u8, u8, u8, u8, u16, u16) {
        let at = offset_of!(DropEvent, tail);
        (
            self.word(at + offset_of!(EventTail, cause)),
            self.word(at + offset_of!(EventTail, generation)),
            self.byte(at + offset_of!(EventTail, direction)),
            self.byte(at + offset_of!(EventTail, family)),
            self.byte(at + offset_of!(EventTail, proto)),
            self.byte(at + offset_of!(EventTail, flags)),
            u16::from_be(self.half(at + offset_of!(EventTail, source_port_be))),
            u16::from_be(self.half(at + offset_of!(EventTail, destination_port_be))),
        )
    }

    pub fn addresses(&self) -> [&[u8]; 2] {
        let at = offset_of!(DropEvent, tail);
        [offset_of!(EventTail, source_address), offset_of!(EventTail, destination_address)]
            .map(|field| &self.0[at + field..at + field + 16])
    }
}

/// What was reported since the last call, without traces.
pub fn drain(machine: &mut Machine) -> Vec<Record> {
    machine.events().into_iter().map(Record).filter(|record| record.byte(0) != EVENT_TRACE).collect()
}

/// The one record that is no trace.
pub fn one(machine: &mut Machine) -> Record {
    let mut records = drain(machine);
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}
