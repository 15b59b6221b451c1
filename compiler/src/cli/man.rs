//! `ciliumc man`.

use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use crate::bundle::write;
use crate::driver::Failure;

/// Prints the page of the program, or writes a page for it and each command.
pub fn run(dir: Option<&Path>) -> Result<u8, Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::machine)?;
        super::put_bytes(&page)?;
        return Ok(0);
    };
    let subcommands: Vec<clap::Command> = command.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    for command in [vec![command], subcommands].concat() {
        let man = clap_mangen::Man::new(command);
        let mut page = Vec::new();
        man.render(&mut page).map_err(Failure::machine)?;
        write::file(&dir.join(man.get_filename()), &page).map_err(Failure::machine)?;
    }
    Ok(0)
}
