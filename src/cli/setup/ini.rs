//! Edits files in the format of Python's `configparser`, line by line, and keeps everything else in
//! them. Pure.

/// The kind of a line.
enum IniLine<'a> {
    Section(&'a str),
    Key(&'a str, &'a str),
    /// A continuation of the value before it.
    Continued,
    /// A comment or an empty line.
    Blank,
}

fn read(line: &str) -> IniLine<'_> {
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
        return IniLine::Blank;
    }
    if line.starts_with([' ', '\t']) {
        return IniLine::Continued;
    }
    if let Some(name) = trimmed
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
    {
        return IniLine::Section(name);
    }
    match trimmed.split_once(['=', ':']) {
        Some((key, value)) => IniLine::Key(key.trim_end(), value.trim_start()),
        None => IniLine::Continued,
    }
}

/// Returns true if two keys are the same to pip, which treats underscores as hyphens.
fn is_same(a: &str, b: &str) -> bool {
    let plain = |key: &str| key.to_ascii_lowercase().replace('_', "-");
    plain(a) == plain(b)
}

/// The lines of a file with their ends; the last may have none.
pub struct Ini(Vec<String>);

impl Ini {
    pub fn of(text: &str) -> Self {
        Self(text.split_inclusive('\n').map(str::to_owned).collect())
    }

    pub fn text(&self) -> String {
        self.0.concat()
    }

    /// Returns the lines of a section, without its header.
    fn section(&self, section: &str) -> Option<std::ops::Range<usize>> {
        let is_it = |line: &String| matches!(read(line), IniLine::Section(name) if name == section);
        let start = self.0.iter().position(is_it)? + 1;
        let rest = self.0.iter().skip(start);
        let length = rest
            .take_while(|line| !matches!(read(line), IniLine::Section(_)))
            .count();
        Some(start..start + length)
    }

    /// Returns the lines of a key, with continuations.
    fn key(&self, section: &str, key: &str) -> Option<std::ops::Range<usize>> {
        let lines = self.section(section)?;
        let at = |at: &usize| self.0.get(*at).map_or("", String::as_str);
        let start = lines
            .clone()
            .find(|line| matches!(read(at(line)), IniLine::Key(name, _) if is_same(name, key)))?;
        let more = (start + 1..lines.end)
            .take_while(|line| matches!(read(at(line)), IniLine::Continued))
            .count();
        Some(start..start + 1 + more)
    }

    /// Returns the value of a key, with its lines joined.
    pub fn get(&self, section: &str, key: &str) -> Option<String> {
        let lines = self.0.get(self.key(section, key)?)?;
        let words = lines.iter().map(|line| match read(line) {
            IniLine::Key(_, value) => value,
            _ => line.trim(),
        });
        Some(words.collect::<Vec<_>>().join("\n").trim().to_owned())
    }

    /// Sets a key to a value of one or several lines: in its place, or at the end of its section,
    /// which is created if necessary.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        if self.get(section, key).as_deref() == Some(value) {
            return;
        }
        let mut lines = vec![match value.contains('\n') {
            true => format!("{key} =\n"),
            false => format!("{key} = {value}\n"),
        }];
        if value.contains('\n') {
            lines.extend(value.lines().map(|line| format!("    {line}\n")));
        }
        let range = match (self.key(section, key), self.section(section)) {
            (Some(range), _) => range,
            (None, Some(section)) => {
                // Insert before the empty lines that separate it from the next section.
                let blank = |at: usize| {
                    self.0
                        .get(at - 1)
                        .is_some_and(|line| line.trim().is_empty())
                };
                let mut end = section.end;
                while end > section.start && blank(end) {
                    end -= 1;
                }
                end..end
            }
            (None, None) => {
                if !self.0.is_empty() {
                    lines.insert(0, "\n".to_owned());
                }
                lines.insert(usize::from(!self.0.is_empty()), format!("[{section}]\n"));
                self.0.len()..self.0.len()
            }
        };
        if let Some(before) = range
            .start
            .checked_sub(1)
            .and_then(|at| self.0.get_mut(at))
            .filter(|line| !line.ends_with('\n'))
        {
            before.push('\n');
        }
        self.0.splice(range, lines);
    }

    /// Removes a key.
    pub fn remove(&mut self, section: &str, key: &str) {
        if let Some(range) = self.key(section, key) {
            self.0.drain(range);
        }
    }

    /// Removes an empty section and the empty line before it.
    pub fn remove_empty(&mut self, section: &str) {
        let Some(lines) = self.section(section) else {
            return;
        };
        if self
            .0
            .get(lines.clone())
            .is_some_and(|lines| lines.iter().all(|line| line.trim().is_empty()))
        {
            let start = lines.start - 1;
            let before = start
                .checked_sub(1)
                .and_then(|at| self.0.get(at))
                .is_some_and(|line| line.trim().is_empty());
            // If there are empty lines on both sides, keep those after it.
            let end = if before { lines.start } else { lines.end };
            self.0.drain(start - usize::from(before)..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_found_as_configparser_finds_it() {
        let ini =
            Ini::of("# top\n[a]\nKey_One: x\n; c\nlist =\n  one\n\ttwo\nlast = y\n[b]\nlast=z");
        assert_eq!(ini.get("a", "key-one").as_deref(), Some("x"));
        assert_eq!(ini.get("a", "list").as_deref(), Some("one\ntwo"));
        assert_eq!(ini.get("b", "last").as_deref(), Some("z"));
        assert_eq!((ini.get("b", "list"), ini.get("c", "last")), (None, None));
    }

    #[test]
    fn a_key_goes_in_at_the_end_of_its_section() {
        let mut ini = Ini::of("[a]\nx = 1\n\n[b]\ny = 2");
        ini.set("a", "z", "3");
        ini.set("b", "list", "one\ntwo");
        ini.set("c", "k", "v");
        assert_eq!(
            ini.text(),
            "[a]\nx = 1\nz = 3\n\n[b]\ny = 2\nlist =\n    one\n    two\n\n[c]\nk = v\n"
        );
        assert_eq!(ini.get("b", "list").as_deref(), Some("one\ntwo"));
        ini.remove("b", "list");
        ini.remove("c", "k");
        ini.remove_empty("c");
        ini.remove_empty("a");
        assert_eq!(ini.text(), "[a]\nx = 1\nz = 3\n\n[b]\ny = 2\n");
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_and_nothing_else_changes(text in "(\\[(a|b)\\]\n|(x|y) ?[=:] \
                                                                    ?[0-9]\n|  more\n|# \
                                                                    c\n|\n){0,12}") {
            let mut ini = Ini::of(&text);
            prop_assert_eq!(ini.text(), &*text);
            ini.set("ours", "k", "v");
            ini.set("ours", "list", "a\nb");
            prop_assert_eq!(ini.get("ours", "k"), Some("v".to_owned()));
            prop_assert_eq!(ini.get("ours", "list"), Some("a\nb".to_owned()));
            let once = ini.text();
            prop_assert!(once.starts_with(&text));
            ini.set("ours", "k", "v");
            prop_assert_eq!(ini.text(), once);
            ini.remove("ours", "k");
            ini.remove("ours", "list");
            ini.remove_empty("ours");
            prop_assert_eq!(ini.text(), text);
        }
    }
}
