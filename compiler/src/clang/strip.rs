//! Drops DWARF from an object of clang and keeps its BTF, as `llvm-strip -g` does, without a second process.
//!
//! Relocations of BTF go too: they are for linkers, and a loader that finds none reads the same.

use object::LittleEndian as LE;
use object::elf::{
    FileHeader64, Rel64, SHN_LORESERVE, SHT_NOBITS, SHT_REL, SHT_SYMTAB, SectionHeader64, Sym64, SymbolSection,
};
use object::pod::{bytes_of, slice_from_all_bytes};
use object::read::elf::FileHeader as _;

type Header = FileHeader64<LE>;
type Section = SectionHeader64<LE>;

/// Sections whose names start like this are not copied.
const DROPPED: [&str; 4] = [".debug_", ".rel.debug_", ".rel.BTF", ".llvm_addrsig"];

/// The object without DWARF; the reason when it is not the ELF that clang writes for BPF.
pub(super) fn strip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut header = *Header::parse(bytes).map_err(|error| error.to_string())?;
    let table = header.sections(LE, bytes).map_err(|error| error.to_string())?;
    let names: Vec<&[u8]> = table
        .iter()
        .map(|section| table.section_name(LE, section))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let sections: Vec<Section> = table.iter().copied().collect();
    let kept_sections =
        Renumbering::new(names.iter().map(|name| !DROPPED.iter().any(|d| name.starts_with(d.as_bytes()))));
    let symbols = kept_symbols(bytes, &sections, &kept_sections)?;

    let mut out = bytes_of(&header).to_vec();
    let mut headers = Vec::new();
    for (number, section) in sections.iter().enumerate() {
        if kept_sections.new_number(number).is_none() {
            continue;
        }
        let mut section = *section;
        let data = match section.sh_type.get(LE) {
            SHT_SYMTAB => {
                let locals = symbols.count_below(section.sh_info.get(LE) as usize);
                section.sh_info.set(LE, locals as u32);
                copy_symbols(data_of(bytes, &section)?, &symbols, &kept_sections)?
            }
            SHT_REL => {
                let target = section.sh_info.get(LE) as usize;
                let target = kept_sections.new_number(target).ok_or("a relocation section without a target")?;
                section.sh_info.set(LE, target as u32);
                copy_relocations(data_of(bytes, &section)?, &symbols)?
            }
            SHT_NOBITS => Vec::new(),
            _ => data_of(bytes, &section)?.to_vec(),
        };
        let link = kept_sections.new_number(section.sh_link.get(LE) as usize).ok_or("a link to a dropped section")?;
        section.sh_link.set(LE, link as u32);
        if number != 0 {
            align(&mut out, section.sh_addralign.get(LE))?;
            section.sh_offset.set(LE, out.len() as u64);
        }
        if section.sh_type.get(LE) != SHT_NOBITS {
            section.sh_size.set(LE, data.len() as u64);
        }
        out.extend_from_slice(&data);
        headers.push(section);
    }

    align(&mut out, 8)?;
    header.e_shoff.set(LE, out.len() as u64);
    header.e_shnum.set(LE, headers.len() as u16);
    let strings = kept_sections.new_number(header.e_shstrndx.get(LE).0.into()).ok_or("no section names")?;
    header.e_shstrndx.set(LE, SymbolSection(strings as u16));
    out[..size_of::<Header>()].copy_from_slice(bytes_of(&header));
    for section in &headers {
        out.extend_from_slice(bytes_of(section));
    }
    Ok(out)
}

/// Old numbers to new ones, where some are left out.
struct Renumbering {
    new: Vec<Option<usize>>,
}

impl Renumbering {
    fn new(kept: impl Iterator<Item = bool>) -> Self {
        let mut next = 0..;
        Self { new: kept.map(|kept| if kept { next.next() } else { None }).collect() }
    }

    fn new_number(&self, old: usize) -> Option<usize> {
        self.new.get(old).copied().flatten()
    }

    /// How many of the numbers below `old` are kept.
    fn count_below(&self, old: usize) -> usize {
        self.new.iter().take(old).flatten().count()
    }
}

/// Symbols stay, unless they stand in a dropped section.
fn kept_symbols(bytes: &[u8], sections: &[Section], kept: &Renumbering) -> Result<Renumbering, String> {
    let table = sections.iter().find(|section| section.sh_type.get(LE) == SHT_SYMTAB).ok_or("no symbols")?;
    let symbols: &[Sym64<LE>] = entries(data_of(bytes, table)?)?;
    Ok(Renumbering::new(symbols.iter().map(|symbol| {
        let section = symbol.st_shndx.get(LE);
        section.0 >= SHN_LORESERVE || kept.new_number(section.0.into()).is_some()
    })))
}

fn copy_symbols(data: &[u8], symbols: &Renumbering, sections: &Renumbering) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(data.len());
    for (number, symbol) in entries::<Sym64<LE>>(data)?.iter().enumerate() {
        if symbols.new_number(number).is_none() {
            continue;
        }
        let mut symbol = *symbol;
        if let Some(section) = sections.new_number(symbol.st_shndx.get(LE).0.into()) {
            symbol.st_shndx.set(LE, SymbolSection(section as u16));
        }
        out.extend_from_slice(bytes_of(&symbol));
    }
    Ok(out)
}

fn copy_relocations(data: &[u8], symbols: &Renumbering) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(data.len());
    for relocation in entries::<Rel64<LE>>(data)? {
        let mut relocation = *relocation;
        let info = relocation.r_info.get(LE);
        let symbol = symbols.new_number((info >> 32) as usize).ok_or("a relocation against DWARF")?;
        relocation.r_info.set(LE, (symbol as u64) << 32 | info & u64::from(u32::MAX));
        out.extend_from_slice(bytes_of(&relocation));
    }
    Ok(out)
}

fn entries<T: object::pod::Pod>(data: &[u8]) -> Result<&[T], String> {
    slice_from_all_bytes(data).map_err(|()| "a table with a broken entry".to_owned())
}

fn data_of<'a>(bytes: &'a [u8], section: &Section) -> Result<&'a [u8], String> {
    let start = section.sh_offset.get(LE) as usize;
    let length = section.sh_size.get(LE) as usize;
    let data = start.checked_add(length).and_then(|end| bytes.get(start..end));
    data.ok_or_else(|| "a section beyond the end of the file".to_owned())
}

fn align(out: &mut Vec<u8>, to: u64) -> Result<(), String> {
    let to = usize::try_from(to.max(1)).ok().filter(|to| *to <= 4096).ok_or("an alignment beyond a page")?;
    out.resize(out.len().next_multiple_of(to), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_refused() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 64]] {
            assert!(strip(bytes).is_err());
        }
    }

    #[test]
    fn renumbering_closes_gaps() {
        let numbers = Renumbering::new([true, false, true].into_iter());
        assert_eq!([0, 1, 2, 3].map(|old| numbers.new_number(old)), [Some(0), None, Some(1), None]);
        assert_eq!(numbers.count_below(2), 1);
    }
}
