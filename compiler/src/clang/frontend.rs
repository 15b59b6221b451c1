//! How the driver of a clang would call its compiler.
//!
//! The driver runs the compiler for one file at a time. The compiler takes several, and to start it costs a fifth of
//! what a unit costs; but its flags differ from version to version. So the driver is asked for them (`-###`).

use std::path::PathBuf;

/// A call of the compiler, without files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frontend {
    /// The program.
    pub(super) program: PathBuf,
    /// What it gets in front of the files to compile.
    pub(super) arguments: Vec<String>,
}

impl Frontend {
    /// Reads what `clang -### ... -x c /dev/null` prints; nothing when no line of it calls the compiler.
    pub(super) fn parse(printed: &str) -> Option<Self> {
        let mut words =
            printed.lines().map(words).find(|words| words.get(1).is_some_and(|word| word == "-cc1"))?.into_iter();
        let program = PathBuf::from(words.next()?);
        let mut arguments = Vec::new();
        while let Some(word) = words.next() {
            match word.as_str() {
                // Both name the one file that the driver was asked about.
                "-o" | "-main-file-name" => drop(words.next()?),
                _ => arguments.push(word),
            }
        }
        (arguments.pop()? == "/dev/null").then_some(Self { program, arguments })
    }
}

/// The words of a line, each of which the driver puts in quotes, with a backslash in front of some characters.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, &mut word) {
            ('"', Some(_)) => words.extend(word.take()),
            ('"', None) => word = Some(String::new()),
            ('\\', Some(word)) => word.extend(letters.next()),
            (_, Some(word)) => word.push(letter),
            (_, None) => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_found_and_names_no_file() {
        let printed = "clang version 19.1.7\nTarget: bpf\n (in-process)\n \"/a b/clang\" \"-cc1\" \"-main-file-name\" \"null\" \
                       \"-DX=\\\"\\$\\\\\" \"-o\" \"null.o\" \"-x\" \"c\" \"/dev/null\"\n";
        let found = Frontend::parse(printed).expect("a call");
        assert_eq!(found.program, PathBuf::from("/a b/clang"));
        assert_eq!(found.arguments, ["-cc1", "-DX=\"$\\", "-x", "c"]);
    }

    #[test]
    fn what_calls_no_compiler_is_refused() {
        for printed in ["", "clang version 19.1.7", "\"ld\" \"-o\"", "\"clang\" \"-cc1\" \"-x\" \"c\" \"other.c\""] {
            assert_eq!(Frontend::parse(printed), None, "{printed}");
        }
    }
}
