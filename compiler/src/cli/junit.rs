//! Results of tests as JUnit's XML, as CI systems read it.

use super::test::Shown;

/// One suite for each file of tests.
pub fn report(shown: &[Shown]) -> String {
    let failures = |tests: &[&Shown]| tests.iter().filter(|test| !test.faults.is_empty()).count();
    let all: Vec<&Shown> = shown.iter().collect();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"ciliumc\" tests=\"{}\" failures=\"{}\" errors=\"0\">\n",
        all.len(),
        failures(&all)
    );
    for suite in all.chunk_by(|a, b| a.file == b.file) {
        let name = suite.first().map(|test| test.file.as_str()).unwrap_or_default();
        out += &format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\">\n",
            escape(name),
            suite.len(),
            failures(suite)
        );
        for test in suite {
            let case = format!("<testcase name=\"{}\" classname=\"{}\"", escape(&test.name), escape(&test.file));
            let packets = test.packets.as_ref();
            let packets = packets.map(|line| format!("      <system-out>{}</system-out>\n", escape(line)));
            let packets = packets.unwrap_or_default();
            match test.faults.first() {
                None if packets.is_empty() => out += &format!("    {case}/>\n"),
                None => out += &format!("    {case}>\n{packets}    </testcase>\n"),
                Some(first) => {
                    let text = format!("{}\n{}", test.place, test.faults.join("\n"));
                    out += &format!(
                        "    {case}>\n      <failure message=\"{}\" type=\"expectation\">{}</failure>\n{packets}    </testcase>\n",
                        escape(first),
                        escape(&text)
                    );
                }
            }
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>\n"
}

/// Text of XML 1.0: what cannot be written at all, not even as a reference, becomes a question mark.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // In an attribute a parser makes a space of it.
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b> & \"c\"\n\u{1}'"), "a&lt;b&gt; &amp; &quot;c&quot;&#10;?&apos;");
    }
}
