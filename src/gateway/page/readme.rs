//! Readmes as HTML. Whatever a stranger wrote, no script runs and nothing is loaded from elsewhere.

use std::collections::HashSet;

use maud::{Markup, PreEscaped, html as markup};
use pulldown_cmark::{Options, Parser, html};

/// Most bytes shown of a readme.
const MOST: usize = 256 << 10;

/// Renders a readme as Markdown; reStructuredText is shown as plain text.
pub fn rendered(text: &str) -> Markup {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    if is_restructured(text) {
        return markup! { pre { (text) } };
    }
    let mut raw = String::new();
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    html::push_html(&mut raw, Parser::new_ext(text, options));
    // Images would tell their servers who reads the page.
    let clean = ammonia::Builder::default()
        .rm_tags(["img", "map", "area"])
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .id_prefix(Some("readme-"))
        .clean(&raw)
        .to_string();
    PreEscaped(clean)
}

/// Returns true if a text has directives or links of reStructuredText, which mean nothing in
/// Markdown.
fn is_restructured(text: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with(".. ") && (line.contains("::") || line.starts_with(".. _")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markdown_becomes_html_and_nothing_in_it_runs() {
        let html = rendered(
            "# Title\n\n*so* [here](https://example.org/x) [bad](javascript:alert(1)) \
             ![p](https://example.org/p.png)\n\n\
             <script>alert(1)</script><b onclick=\"x()\">bold</b>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        )
        .into_string();
        for there in [
            "<h1",
            "<em>so</em>",
            "href=\"https://example.org/x\"",
            "<table>",
            "<b>bold</b>",
            "noopener",
        ] {
            assert!(html.contains(there), "{there}: {html}");
        }
        for gone in ["script", "alert", "onclick", "<img", "javascript:"] {
            assert!(!html.contains(gone), "{gone}: {html}");
        }
    }

    #[test]
    fn restructured_text_stays_text() {
        let html = rendered("Title\n=====\n\n.. image:: https://example.org/p.svg\n\n<b>`x`_")
            .into_string();
        assert!(
            html.starts_with("<pre>") && html.contains("&lt;b&gt;`x`_"),
            "{html}"
        );
        assert!(
            !rendered("a .. b\n\n```\n.. x\n```")
                .into_string()
                .starts_with("<pre>Title")
        );
    }

    proptest! {
        #[test]
        fn whatever_is_written_no_tag_runs(text in ".{0,200}") {
            let html = rendered(&text).into_string().to_lowercase();
            prop_assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<iframe"));
        }
    }
}
