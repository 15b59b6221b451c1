//! An expression cut down to ASCII: without the classes of other scripts, automata are small.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition,
};

/// Nesting, as `front` takes it with room for what is put around.
const DEPTH_MAX: u32 = 250;

/// The expression between the ends of the text.
pub fn whole(expression: &str) -> Result<Hir, Box<regex_syntax::Error>> {
    let parsed = ParserBuilder::new().nest_limit(DEPTH_MAX).build().parse(expression).map_err(Box::new)?;
    Ok(Hir::concat(vec![Hir::look(Look::Start), ascii(&parsed), Hir::look(Look::End)]))
}

fn ascii(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.is_ascii() => hir.clone(),
        HirKind::Literal(_) => Hir::fail(),
        HirKind::Class(class) => Hir::class(Class::Bytes(ascii_class(class))),
        HirKind::Look(look) => Hir::look(ascii_look(*look)),
        HirKind::Repetition(repetition) => {
            Hir::repetition(Repetition { sub: Box::new(ascii(&repetition.sub)), ..repetition.clone() })
        }
        HirKind::Capture(capture) => Hir::capture(Capture { sub: Box::new(ascii(&capture.sub)), ..capture.clone() }),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(ascii).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(ascii).collect()),
    }
}

fn ascii_class(class: &Class) -> ClassBytes {
    match class {
        Class::Unicode(class) => {
            let mut class = class.clone();
            class.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]));
            class.to_byte_class().unwrap_or_else(ClassBytes::empty)
        }
        Class::Bytes(class) => {
            let mut class = class.clone();
            class.intersect(&ClassBytes::new([ClassBytesRange::new(0, 0x7f)]));
            class
        }
    }
}

/// RE2's words are ASCII.
fn ascii_look(look: Look) -> Look {
    match look {
        Look::WordUnicode => Look::WordAscii,
        Look::WordUnicodeNegate => Look::WordAsciiNegate,
        other => other,
    }
}
