//! Pages of an index: the list of projects, and the files of one, as JSON (PEP 691 and 700) or HTML
//! (PEP 503). Pure.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::route::file_from_page;
use crate::{clock, domain::time::Timestamp};

/// The version of the protocol. Version 1.1 adds PEP 700's sizes and times to 1.0.
const API: &str = "1.1";

/// The form of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Json,
    Html,
    /// HTML for browsers and tools that are older than PEP 691.
    TextHtml,
}

impl Form {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/vnd.pypi.simple.v1+json",
            Self::Html => "application/vnd.pypi.simple.v1+html",
            Self::TextHtml => "text/html; charset=utf-8",
        }
    }

    /// Returns the form that a client prefers by its `Accept` values. A client without any, or that
    /// names none of the forms, is older than them.
    pub fn liked_by<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let named =
            |range: &str| match range {
                "application/vnd.pypi.simple.v1+json"
                | "application/vnd.pypi.simple.latest+json" => Some(Self::Json),
                "application/vnd.pypi.simple.v1+html"
                | "application/vnd.pypi.simple.latest+html" => Some(Self::Html),
                "text/html" => Some(Self::TextHtml),
                _ => None,
            };
        let mut best = (0, Self::TextHtml);
        for one in accept.flat_map(|value| value.split(',')) {
            let mut words = one.split(';').map(str::trim);
            let range = words.next().unwrap_or_default().to_ascii_lowercase();
            let quality = words
                .filter_map(|word| word.strip_prefix("q=").or(word.strip_prefix("Q=")))
                .next();
            let quality = quality
                .map_or(1.0, |text| text.trim().parse::<f32>().unwrap_or(0.0))
                .clamp(0.0, 1.0);
            // HTTP qualities have three decimals. Of two equal ones, the first counts.
            let quality = (quality * 1_000.0).round() as u32;
            if let Some(form) = named(&range).filter(|_| quality > best.0) {
                best = (quality, form);
            }
        }
        best.1
    }
}

/// A project as its page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The normalised name.
    pub name: String,
    pub versions: Vec<String>,
    pub files: Vec<Listed>,
}

/// A file on a project's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// SHA-256 digest in hexadecimal.
    pub sha256: String,
    pub size: u64,
    pub uploaded: Timestamp,
    pub requires_python: Option<String>,
    /// SHA-256 digest of the metadata file beside it, in hexadecimal.
    pub metadata: Option<String>,
    /// The reason, which may be empty, if its owner yanked it.
    pub yanked: Option<String>,
}

impl Project {
    pub fn written(&self, form: Form) -> String {
        match form {
            Form::Json => self.json(),
            Form::Html | Form::TextHtml => self.html(),
        }
    }

    fn json(&self) -> String {
        let files: Vec<Value> = self.files.iter().map(Listed::json).collect();
        let meta = json!({ "api-version": API });
        json!({ "meta": meta, "name": self.name, "versions": self.versions, "files": files })
            .to_string()
    }

    fn html(&self) -> String {
        let mut page = html_head(&format!("Links for {}", self.name));
        for file in &self.files {
            page.push_str(&file.html());
        }
        page.push_str("</body>\n</html>\n");
        page
    }
}

impl Listed {
    fn json(&self) -> Value {
        let mut file = Map::new();
        file.insert("filename".to_owned(), self.name.clone().into());
        file.insert(
            "url".to_owned(),
            file_from_page(&self.sha256, &self.name).into(),
        );
        file.insert("hashes".to_owned(), json!({ "sha256": self.sha256 }));
        file.insert("size".to_owned(), self.size.into());
        file.insert(
            "upload-time".to_owned(),
            clock::universal(self.uploaded).into(),
        );
        if let Some(requires_python) = &self.requires_python {
            file.insert("requires-python".to_owned(), requires_python.clone().into());
        }
        // PEP 714: under the earlier name, `dist-info-metadata`, pip up to 23.0.1 (Debian 12's)
        // would crash.
        let metadata = self
            .metadata
            .as_ref()
            .map_or(Value::Bool(false), |sha256| json!({ "sha256": sha256 }));
        file.insert("core-metadata".to_owned(), metadata);
        // An empty string would mean that it is not yanked.
        let yanked = match self.yanked.as_deref() {
            None => Value::Bool(false),
            Some("") => Value::Bool(true),
            Some(why) => why.into(),
        };
        file.insert("yanked".to_owned(), yanked);
        Value::Object(file)
    }

    fn html(&self) -> String {
        let mut link = format!(
            "<a href=\"{}#sha256={}\"",
            escaped(&file_from_page(&self.sha256, &self.name)),
            escaped(&self.sha256)
        );
        let mut say = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(link, " {name}=\"{}\"", escaped(value));
        };
        if let Some(requires_python) = &self.requires_python {
            say("data-requires-python", requires_python);
        }
        if let Some(sha256) = &self.metadata {
            say("data-core-metadata", &format!("sha256={sha256}"));
            say("data-dist-info-metadata", &format!("sha256={sha256}"));
        }
        if let Some(why) = &self.yanked {
            say("data-yanked", why);
        }
        format!("{link}>{}</a><br>\n", escaped(&self.name))
    }
}

/// Returns the list of projects, by their normalised names.
pub fn list(names: &[String], form: Form) -> String {
    match form {
        Form::Json => {
            let projects: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "meta": { "api-version": API }, "projects": projects }).to_string()
        }
        Form::Html | Form::TextHtml => {
            let links = names
                .iter()
                .map(|name| format!("<a href=\"{0}/\">{0}</a><br>\n", escaped(name)));
            format!(
                "{}{}</body>\n</html>\n",
                html_head("Projects"),
                links.collect::<String>()
            )
        }
    }
}

fn html_head(title: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"pypi:repository-version\" \
         content=\"{API}\">\n<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )
}

/// Escapes a text for HTML, also within quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str) -> Listed {
        Listed {
            name: name.to_owned(),
            sha256: "ab".repeat(32),
            size: 7,
            uploaded: Timestamp(1_700_000_000_120),
            requires_python: Some(">=3.8".to_owned()),
            metadata: Some("cd".repeat(32)),
            yanked: None,
        }
    }

    fn project(files: Vec<Listed>) -> Project {
        Project {
            name: "demo".to_owned(),
            versions: vec!["1.0".to_owned()],
            files,
        }
    }

    #[test]
    fn a_client_gets_the_form_that_it_likes_best() {
        let liked = |accept: &str| Form::liked_by([accept].into_iter());
        let (json, html) = (
            "application/vnd.pypi.simple.v1+json",
            "application/vnd.pypi.simple.v1+html",
        );
        let pip = format!("{json}, {html}; q=0.1, text/html; q=0.01");
        assert_eq!(liked(&pip), Form::Json);
        assert_eq!(liked(&format!("{html};q=0.2, text/html;q=0.1")), Form::Html);
        assert_eq!(
            liked(&format!("{json};q=0, text/html;q=0.1")),
            Form::TextHtml
        );
        assert_eq!(liked("Application/vnd.pypi.simple.latest+JSON"), Form::Json);
        assert_eq!(
            liked("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Form::TextHtml
        );
        for old in [
            "*/*",
            "",
            "application/json",
            "text/*",
            ",;,q=1",
            &format!("{json};q=x"),
        ] {
            assert_eq!(liked(old), Form::TextHtml, "{old}");
        }
        assert_eq!(Form::liked_by([].into_iter()), Form::TextHtml);
        assert_eq!(
            Form::liked_by(["text/html;q=0.5", json].into_iter()),
            Form::Json,
            "in two fields"
        );
    }

    #[test]
    fn a_page_says_what_the_peps_have() {
        let yanked = |name: &str, why: &str| Listed {
            yanked: Some(why.to_owned()),
            ..file(name)
        };
        let bare = Listed {
            requires_python: None,
            metadata: None,
            ..file("demo-1.0.tar.gz")
        };
        let project = project(vec![
            file("demo-1.0-py3-none-any.whl"),
            yanked("demo-1.0-py2-none-any.whl", "\"bad\" & <b>"),
            bare,
        ]);
        let page: Value = serde_json::from_str(&project.written(Form::Json)).unwrap();
        assert_eq!(
            (
                &page["meta"]["api-version"],
                &page["name"],
                &page["versions"][0]
            ),
            (&"1.1".into(), &"demo".into(), &"1.0".into())
        );
        let first = &page["files"][0];
        assert_eq!(
            first["url"],
            format!("../../files/{}/demo-1.0-py3-none-any.whl", "ab".repeat(32))
        );
        assert_eq!(first["hashes"]["sha256"], "ab".repeat(32));
        assert_eq!(first["core-metadata"]["sha256"], "cd".repeat(32));
        assert_eq!(
            first.get("dist-info-metadata"),
            None,
            "pip 23.0.1 could not read it"
        );
        assert_eq!(
            (&first["size"], &first["yanked"]),
            (&7.into(), &false.into())
        );
        // Python before 3.11 parses only three or six digits of a second.
        assert_eq!(first["upload-time"], "2023-11-14T22:13:20.120000Z");
        assert_eq!(page["files"][1]["yanked"], "\"bad\" & <b>");
        assert_eq!(page["files"][2]["core-metadata"], false);
        assert_eq!(page["files"][2].get("requires-python"), None);
        let html = project.written(Form::TextHtml);
        for expected in [
            "<meta name=\"pypi:repository-version\" content=\"1.1\">",
            "data-requires-python=\"&gt;=3.8\"",
            "data-yanked=\"&quot;bad&quot; &amp; &lt;b&gt;\"",
            "data-core-metadata=\"sha256=cdcd",
            "#sha256=abab",
            ">demo-1.0.tar.gz</a>",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        let list = list(&["a".to_owned(), "b-c".to_owned()], Form::TextHtml);
        assert!(list.contains("<a href=\"b-c/\">b-c</a>"), "{list}");
    }

    #[test]
    fn a_yank_without_a_reason_is_no_empty_text_in_json() {
        let page = project(vec![Listed {
            yanked: Some(String::new()),
            ..file("demo-1.0.tar.gz")
        }]);
        let json: Value = serde_json::from_str(&page.written(Form::Json)).unwrap();
        assert_eq!(json["files"][0]["yanked"], true);
        assert!(page.written(Form::Html).contains(" data-yanked=\"\""));
    }

    proptest! {
        #[test]
        fn no_text_of_a_strangers_gets_out_of_its_place(why in "\\PC{0,40}", requires in "\\PC{0,40}") {
            let one = Listed { yanked: Some(why.clone()), requires_python: Some(requires.clone()), ..file("demo-1.0.tar.gz") };
            let project = project(vec![one]);
            let html = project.written(Form::Html);
            let link = html.lines().find(|line| line.starts_with("<a ")).unwrap();
            prop_assert_eq!(link.matches('<').count(), 3, "the link, its end and the break: {}", link);
            prop_assert_eq!(link.matches('"').count(), 10);
            let json: Value = serde_json::from_str(&project.written(Form::Json)).unwrap();
            let expected: Value = if why.is_empty() { true.into() } else { why.into() };
            prop_assert_eq!(&json["files"][0]["yanked"], &expected);
            prop_assert_eq!(json["files"][0]["requires-python"].as_str(), Some(&*requires));
        }

        #[test]
        fn any_accept_is_a_form(accept in ".{0,80}") {
            let _ = Form::liked_by([&*accept].into_iter());
        }
    }
}
