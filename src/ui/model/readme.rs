//! A readme as lines: renders a little Markdown, and removes control characters.

use crate::domain::text::{printable, safe_or_not};

/// Most lines shown, because they are wrapped again for every frame.
const LINES: usize = 2_000;
/// Most characters shown.
const CHARS: usize = 100_000;

/// A paragraph, or another block of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadmeBlock {
    Heading(String),
    Text(String),
    /// A list entry with its indent in columns.
    Bullet(usize, String),
    /// A line of code, with its spaces.
    Code(String),
    Gap,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadmeText {
    pub blocks: Vec<ReadmeBlock>,
    /// True if the end was cut off.
    pub cut: bool,
}

impl ReadmeText {
    pub fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut readme = Self::default();
        let (mut fenced, mut chars) = (false, 0);
        for (number, line) in text.lines().enumerate() {
            chars += line.chars().count();
            if number >= LINES || chars > CHARS {
                readme.cut = true;
                break;
            }
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if fenced {
                readme.blocks.push(ReadmeBlock::Code(as_it_is(line)));
            } else {
                readme.line(line);
            }
        }
        while readme.blocks.last() == Some(&ReadmeBlock::Gap) {
            readme.blocks.pop();
        }
        readme
    }

    fn line(&mut self, line: &str) {
        let text = printable(line);
        let indent = line.chars().take_while(|c| *c == ' ').count();
        let rest = |mark: &str| {
            text.strip_prefix(mark)
                .map(|rest| rest.trim_start().to_owned())
        };
        let block = if text.is_empty() {
            if matches!(self.blocks.last(), None | Some(ReadmeBlock::Gap)) {
                return;
            }
            ReadmeBlock::Gap
        } else if let Some(title) = text
            .trim_start_matches('#')
            .strip_prefix(' ')
            .filter(|_| text.starts_with('#'))
        {
            ReadmeBlock::Heading(title.to_owned())
        } else if let Some(entry) = ["- ", "* ", "+ "].into_iter().find_map(rest) {
            ReadmeBlock::Bullet(indent.min(8), entry)
        } else if text.starts_with('|')
            || line.starts_with('\t')
            || indent >= 4 && self.is_after_gap()
        {
            ReadmeBlock::Code(as_it_is(line))
        } else {
            match self.blocks.last_mut() {
                Some(ReadmeBlock::Text(paragraph) | ReadmeBlock::Bullet(_, paragraph)) => {
                    paragraph.push(' ');
                    paragraph.push_str(&text);
                    return;
                }
                _ => ReadmeBlock::Text(text),
            }
        };
        self.blocks.push(block);
    }

    fn is_after_gap(&self) -> bool {
        matches!(
            self.blocks.last(),
            None | Some(ReadmeBlock::Gap | ReadmeBlock::Code(_))
        )
    }
}

/// Returns a line with its spaces, but without control and bidirectional characters.
fn as_it_is(line: &str) -> String {
    let line = line.replace('\t', "    ");
    safe_or_not(line.trim_end())
        .filter(|(_, is_unsafe)| !is_unsafe)
        .map(|(c, _)| c)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::{is_joiner, is_unsafe_char};
    use proptest::prelude::*;

    #[test]
    fn a_little_of_markdown_is_understood() {
        let text = "# Web\n\nServes\npages.\n\n\n- fast\n  and small\n* \
                    safe\n\n```sh\ncurl  \u{1b}[31mx\n```\n| a | b |\n";
        let own = |text: &str| text.to_owned();
        assert_eq!(
            ReadmeText::of(text.as_bytes()).blocks,
            [
                ReadmeBlock::Heading(own("Web")),
                ReadmeBlock::Gap,
                ReadmeBlock::Text(own("Serves pages.")),
                ReadmeBlock::Gap,
                ReadmeBlock::Bullet(0, own("fast and small")),
                ReadmeBlock::Bullet(0, own("safe")),
                ReadmeBlock::Gap,
                ReadmeBlock::Code(own("curl  [31mx")),
                ReadmeBlock::Code(own("| a | b |")),
            ]
        );
        assert_eq!(
            ReadmeText::of(b"#hashtag\n").blocks,
            [ReadmeBlock::Text(own("#hashtag"))]
        );
    }

    #[test]
    fn a_long_one_is_cut() {
        assert!(!ReadmeText::of("- x\n".repeat(LINES).as_bytes()).cut);
        let long = ReadmeText::of("- x\n".repeat(LINES + 1).as_bytes());
        assert_eq!((long.blocks.len(), long.cut), (LINES, true));
        assert!(ReadmeText::of("x".repeat(CHARS + 1).as_bytes()).cut);
    }

    proptest! {
        #[test]
        fn whatever_it_is_there_is_nothing_unsafe_in_it(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for block in ReadmeText::of(&bytes).blocks {
                if let ReadmeBlock::Heading(text) | ReadmeBlock::Text(text) | ReadmeBlock::Bullet(_, text) | ReadmeBlock::Code(text) = block {
                    prop_assert!(text.chars().all(|c| !is_unsafe_char(c) || is_joiner(c)), "{:?}", text);
                }
            }
        }
    }
}
