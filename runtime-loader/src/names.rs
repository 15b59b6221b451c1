//! The two places where an endpoint's packets are judged.

use std::fmt;

use ciliumc_abi::manifest::{Class, Direction};
use ciliumc_abi::names;
use serde::{Deserialize, Serialize};

use crate::sys::bpf;

/// A program of an endpoint, and where it is attached: the host side of the endpoint's veth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Packets that the endpoint sends: ingress of the host side.
    FromContainer,
    /// Packets to the endpoint: egress of the host side.
    ToContainer,
}

impl Hook {
    /// Both, in the order in which they are attached.
    pub const ALL: [Self; 2] = [Self::FromContainer, Self::ToContainer];

    /// Name of the program, and of the link's pin.
    pub fn program(self) -> &'static str {
        match self {
            Self::FromContainer => names::FROM_CONTAINER,
            Self::ToContainer => names::TO_CONTAINER,
        }
    }

    /// The kernel's attach type for tcx.
    pub fn attach_type(self) -> u32 {
        match self {
            Self::FromContainer => bpf::TCX_INGRESS,
            Self::ToContainer => bpf::TCX_EGRESS,
        }
    }

    /// Side of the interface, in words.
    pub fn side(self) -> &'static str {
        match self {
            Self::FromContainer => "ingress",
            Self::ToContainer => "egress",
        }
    }

    /// The direction of policy that the program enforces.
    pub fn direction(self, class: &Class) -> &Direction {
        match self {
            Self::FromContainer => &class.egress,
            Self::ToContainer => &class.ingress,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}
