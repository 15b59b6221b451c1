//! Grace periods that are waited for, short or long.

use std::io::{self, Write};

use super::args::Expedite;
use crate::pins::Pins;
use crate::sys::rcu::{self, Expedited};

/// When to let the kernel hurry, and whether it lets us.
pub struct Hurry<'a> {
    pins: &'a Pins,
    when: Expedite,
    cannot: bool,
}

impl<'a> Hurry<'a> {
    /// As the command line says.
    pub fn new(pins: &'a Pins, when: Expedite) -> Self {
        Self { pins, when, cannot: false }
    }

    /// Short grace periods until dropped, where they are wished. `several`: more than one endpoint is attached or
    /// detached. The kernel waits for an expedited grace period by itself wherever it holds the lock of all interfaces
    /// (`synchronize_net`), and tcx alone waits for a long one: so a batch asks for no more than what is usual there.
    ///
    /// Where the switch cannot be written (no sysfs, or a read-only one) all goes on slowly, which is said once.
    pub fn begin(&mut self, several: bool) -> Option<Expedited> {
        let wished = self.when == Expedite::Always || (several && self.when == Expedite::Auto);
        if !wished || self.cannot {
            return None;
        }
        let begun = Expedited::begin(&self.pins.expedited());
        begun.map_err(|error| self.slow(&error)).ok()
    }

    fn slow(&mut self, error: &io::Error) {
        self.cannot = true;
        note(format_args!("cannot set {}: {error}; each attachment may take some 10 ms", rcu::SWITCH));
    }
}

/// Undoes what a command left that was killed.
pub fn restore(pins: &Pins) {
    if let Err(error) = rcu::restore(&pins.expedited()) {
        note(format_args!("cannot restore {} after a command that was killed: {error}", rcu::SWITCH));
    }
}

/// A note is for people; without stderr there are none.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "note: {text}");
}
