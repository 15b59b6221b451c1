//! `ciliumc explain`.

use crate::driver::Failure;
use crate::explain;

/// Prints the pages of these codes, or the list of all.
pub fn run(codes: &[String]) -> Result<u8, Failure> {
    if codes.is_empty() {
        let lines = explain::PAGES.iter().map(|page| format!("{}  {}\n", page.code, page.title()));
        super::put(&lines.collect::<String>())?;
        return Ok(0);
    }
    let mut exit_code = 0;
    for (code, n) in codes.iter().zip(0..) {
        match explain::page(code) {
            Some(page) => super::put(&format!("{}{}", if n == 0 { "" } else { "\n" }, page.text))?,
            None => {
                let near = explain::near(code).join(", ");
                let remedy = if near.is_empty() {
                    "`ciliumc explain` lists all".to_owned()
                } else {
                    format!("near ones: {near}")
                };
                eprintln!("error: there is no code `{code}`; {remedy}");
                exit_code = 2;
            }
        }
    }
    Ok(exit_code)
}
