use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        hash::Hash,
        manifest::{Draft, File, Manifest},
        query::could_match,
        record::{Authorised, DEFAULT_LIFE, Head, HeadState},
        release::ReleaseEntry,
    },
    metrics::Metrics,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

struct Catalogue {
    store: Store,
    key: Keypair,
    _dir: tempfile::TempDir,
}

impl Catalogue {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        Self {
            store,
            key: Keypair::generate_ed25519(),
            _dir: dir,
        }
    }

    fn publisher(&self) -> PublisherId {
        PublisherId::of(&self.key.public())
    }

    /// Publishes a release whose draft is `name = "…"` followed by `toml`.
    async fn add(&self, name: &str, toml: &str) -> (Authorised<Head>, Authorised<Manifest>) {
        self.add_at(name, toml, NOW, false).await
    }

    async fn add_at(
        &self,
        name: &str,
        toml: &str,
        at: Timestamp,
        yanked: bool,
    ) -> (Authorised<Head>, Authorised<Manifest>) {
        let seq = self
            .store
            .mark(&self.id(name))
            .unwrap()
            .map_or(0, |mark| mark.seq)
            + 1;
        let draft: Draft = toml::from_str(&format!(
            "name = \"{name}\"\nversion = \"1.{seq}.0\"\n{toml}"
        ))
        .unwrap();
        let content = File::of(&draft.ecosystem, "x", b"x");
        let manifest = Authorised::sign(
            &self.key,
            draft
                .into_manifest(PublisherId::of(&self.key.public()), content, at)
                .unwrap(),
        )
        .unwrap();
        let entry = ReleaseEntry {
            yanked: yanked.then(String::new),
            ..ReleaseEntry::new(manifest.version.clone(), manifest.hash())
        };
        let state = HeadState {
            handle: Some("alice".parse().unwrap()),
            seq,
            prev: if seq == 1 {
                vec![]
            } else {
                vec![Hash::of(b"before")]
            },
            ..HeadState::first(
                manifest.ecosystem.clone(),
                name.parse().unwrap(),
                vec![entry],
            )
        };
        let head = state.sign(&self.key, at, DEFAULT_LIFE).unwrap().0;
        self.store
            .take_head(head.clone(), vec![], vec![manifest.clone()], false, at)
            .await
            .unwrap();
        (head, manifest)
    }

    fn id(&self, name: &str) -> PackageId {
        PackageId {
            owner: self.publisher(),
            name: name.parse().unwrap(),
        }
    }

    fn found(&self, text: &str) -> Found {
        self.store.search(&Query::text(text), NOW).unwrap()
    }

    /// Returns the names found, sorted.
    fn names(&self, text: &str) -> Vec<String> {
        let mut names: Vec<_> = self
            .found(text)
            .hits
            .iter()
            .map(|hit| hit.package.name.to_string())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn what_is_written_in_other_scripts_is_found_as_its_readers_write_it() {
    let catalogue = Catalogue::new();
    catalogue
        .add(
            "nihongo",
            "title = \"日本語の辞書\"\ndescription = \"形態素解析に使う\"",
        )
        .await;
    catalogue.add("nippon", "description = \"本と語\"").await;
    catalogue
        .add("roads", "description = \"Jede Straße in Köln\"")
        .await;
    catalogue
        .add(
            "persian",
            "title = \"می\u{200c}خواهم\"\ndescription = \"a word\"",
        )
        .await;
    catalogue
        .add(
            "gxx",
            "description = \"The GNU C++ compiler\"\ntags = [\"c++\"]",
        )
        .await;
    catalogue
        .add("gcc", "description = \"The GNU C compiler\"")
        .await;
    catalogue.add("mono", "description = \"Compiles C#\"").await;

    for (text, found) in [
        ("日本語", &["nihongo"][..]),
        ("本語", &["nihongo"]),
        ("語の辞", &["nihongo"]),
        ("解析 辞書", &["nihongo"]),
        ("本", &["nihongo", "nippon"]),
        ("\"日本\"", &["nihongo"]),
        ("本 -日本", &["nippon"]),
        ("STRASSE", &["roads"]),
        ("straße köln", &["roads"]),
        ("میخواهم", &["persian"]),
        ("می\u{200c}خواهم", &["persian"]),
        ("c++", &["gxx"]),
        ("c#", &["mono"]),
    ] {
        assert_eq!(catalogue.names(text), found, "{text}");
    }
    for (text, first) in [("C++ compiler", "gxx"), ("c compiler", "gcc")] {
        assert_eq!(
            catalogue.found(text).hits[0].package.name.as_str(),
            first,
            "{text}"
        );
    }
    for nothing in ["%", "(", "🦀", "-java", "is:nonsense"] {
        assert_eq!(
            (
                catalogue.names(nothing).len(),
                catalogue.found(nothing).total
            ),
            (0, 0),
            "{nothing}"
        );
        let others = catalogue
            .store
            .search_for_others(&Query::text(nothing), NOW)
            .unwrap();
        assert_eq!(others.total, 0, "{nothing}");
    }
    assert_eq!(catalogue.names("").len(), 7);
}

#[tokio::test]
async fn the_language_is_understood() {
    let catalogue = Catalogue::new();
    let web = "description = \"A fast web server\"\ncategories = [\"Web\"]\nlicense = \"MIT OR Apache-2.0\"";
    catalogue.add("nginx", web).await;
    catalogue
        .add(
            "java-web",
            "description = \"A server for the web, fast\"\ntags = [\"cli\"]\necosystem = \"cargo\"",
        )
        .await;
    let old = NOW.before(Duration::from_secs(40 * 24 * 3_600));
    catalogue
        .add_at(
            "oldie",
            "description = \"A web server of old\"\ncategories = [\"web servers\"]",
            old,
            false,
        )
        .await;

    assert_eq!(catalogue.names("web server").len(), 3);
    assert_eq!(catalogue.names("\"web server\""), ["nginx", "oldie"]);
    assert_eq!(catalogue.names("web -java"), ["nginx", "oldie"]);
    assert_eq!(catalogue.names("server -java-web").len(), 2);
    assert_eq!(catalogue.names("web category:web"), ["nginx"]);
    assert_eq!(catalogue.names("category:\"Web Servers\""), ["oldie"]);
    assert_eq!(catalogue.names("-category:web").len(), 2);
    assert_eq!(catalogue.names("tag:CLI"), ["cargo:java-web"]);
    assert_eq!(catalogue.names("license:mit"), ["nginx"]);
    assert_eq!(catalogue.names("license:apache-2.0 web"), ["nginx"]);
    assert_eq!(catalogue.names("eco:cargo"), ["cargo:java-web"]);
    assert_eq!(catalogue.names("publisher:alice").len(), 3);
    assert_eq!(
        catalogue
            .names(&format!("publisher:{} fast", catalogue.publisher()))
            .len(),
        2
    );
    assert_eq!(catalogue.names("publisher:bob"), [""; 0]);
    assert_eq!(catalogue.names("web updated:<30d").len(), 2);
    assert_eq!(catalogue.names("updated:>30d"), ["oldie"]);
    assert_eq!(catalogue.names("updated:>30d eco:cargo"), [""; 0]);
    assert_eq!(
        (catalogue.found("web").total, catalogue.found("").total),
        (3, 3)
    );
}

#[tokio::test]
async fn what_nobody_asked_for_is_left_out() {
    let catalogue = Catalogue::new();
    catalogue.add("good", "description = \"a tool\"").await;
    catalogue
        .add_at("bad", "description = \"a tool\"", NOW, true)
        .await;
    for (text, expected) in [
        ("tool", vec!["good"]),
        ("", vec!["good"]),
        ("tool is:yanked", vec!["bad"]),
        ("is:yanked", vec!["bad"]),
    ] {
        let found = catalogue.found(text);
        assert_eq!(catalogue.names(text), expected, "{text}");
        assert_eq!(found.total, expected.len() as u64, "{text}");
    }
    catalogue
        .store
        .distrust(catalogue.publisher(), NOW)
        .await
        .unwrap();
    assert_eq!(catalogue.names("tool"), [""; 0]);
    assert_eq!(catalogue.found("").total, 0);
    let asked = catalogue.found("tool is:distrusted");
    assert_eq!((asked.total, asked.hits[0].trust), (1, Trust::Distrusted));
    let others = catalogue
        .store
        .search_for_others(&Query::text("tool is:distrusted"), NOW)
        .unwrap();
    assert_eq!(others.total, 0, "others are told nothing of them");
}

#[tokio::test]
async fn words_that_are_spelt_wrongly_are_guessed() {
    let catalogue = Catalogue::new();
    for name in ["postgresql", "firefox", "serde-json", "curl"] {
        catalogue.add(name, "description = \"something\"").await;
    }
    for (text, name) in [
        ("postgersql", "postgresql"),
        ("postgrsql", "postgresql"),
        ("fierfox", "firefox"),
        ("ifrefox", "firefox"),
        ("serde jsno", "serde-json"),
        ("crul", "curl"),
    ] {
        let found = catalogue.found(text);
        assert_eq!(
            found.hits.first().map(|hit| hit.package.name.as_str()),
            Some(name),
            "{text}"
        );
        assert_eq!(
            found
                .instead
                .as_deref()
                .map(|text| text.replace(' ', "-"))
                .as_deref(),
            Some(name),
            "{text}"
        );
    }
    assert_eq!(catalogue.found("firefox").instead, None);
    // Nothing has all of the words, so for this node's own person some of them are enough.
    let some = catalogue.found("firefox flash");
    assert_eq!(
        (some.hits.len(), some.instead.as_deref()),
        (1, Some("firefox OR flash"))
    );
    assert_eq!(
        catalogue
            .store
            .search_for_others(&Query::text("firefox flash"), NOW)
            .unwrap()
            .total,
        0
    );
    assert_eq!(catalogue.names("xyzzyxyzzy"), [""; 0]);
}

#[tokio::test]
async fn those_that_others_need_come_first() {
    let catalogue = Catalogue::new();
    let (liked, other) = ("libweb-liked", "libweb-other");
    catalogue.add(other, "").await;
    catalogue.add(liked, "").await;
    for n in 0..5 {
        let needs = format!(
            "dependencies = [{{ package = \"{}/{liked}\", handle = \"bob\", requirement = \"*\" \
             }}]",
            catalogue.publisher()
        );
        catalogue.add(&format!("needs-{n}"), &needs).await;
    }
    assert!(catalogue.store.recount().await.unwrap());
    assert!(!catalogue.store.recount().await.unwrap(), "once is enough");
    let found = catalogue.found("libweb");
    let dependents: Vec<_> = found
        .hits
        .iter()
        .map(|hit| (hit.package.name.as_str(), hit.dependents))
        .collect();
    assert_eq!(dependents, [(liked, 5), (other, 0)]);

    // A package that no longer depends on it does not count.
    catalogue.add("needs-0", "").await;
    catalogue.store.recount().await.unwrap();
    let peer = libp2p::PeerId::random();
    catalogue
        .store
        .saw_provider(&catalogue.id(liked), peer)
        .await
        .unwrap();
    catalogue
        .store
        .saw_provider(&catalogue.id(liked), peer)
        .await
        .unwrap();
    let hit = &catalogue.found("libweb").hits[0];
    assert_eq!((hit.dependents, hit.providers), (4, 1));
}

#[tokio::test]
async fn labels_are_counted() {
    let catalogue = Catalogue::new();
    catalogue
        .add(
            "a",
            "categories = [\"Web\"]\nlicense = \"MIT OR Apache-2.0\"\ntags = [\"x\"]",
        )
        .await;
    catalogue
        .add("b", "categories = [\"web\"]\nlicense = \"MIT\"")
        .await;
    let facets = catalogue.store.facets(&Query::text(""), NOW).unwrap();
    let count = |facet, value: &str| {
        facets
            .counts
            .iter()
            .find(|one| one.facet == facet && one.value == value)
            .map(|one| one.packages)
    };
    assert_eq!((facets.total, facets.sampled), (2, false));
    assert_eq!(count(Facet::Category, "web"), Some(2));
    assert_eq!(
        (
            count(Facet::License, "mit"),
            count(Facet::License, "apache-2.0")
        ),
        (Some(2), Some(1))
    );
    assert_eq!(count(Facet::Tag, "x"), Some(1));
    let publisher = facets
        .counts
        .iter()
        .find(|one| one.facet == Facet::Publisher)
        .unwrap();
    let shown = format!("alice ({})", catalogue.publisher().fingerprint());
    assert_eq!(
        (&publisher.shown, publisher.packages),
        (&shown, 2),
        "an unpinned handle, and whose it is"
    );
    let filter = publisher.facet.filter(&publisher.value);
    assert_eq!(
        catalogue.names(&filter).len(),
        2,
        "what is shown can be asked for"
    );
}

#[tokio::test]
async fn pages_follow_one_another() {
    let catalogue = Catalogue::new();
    for n in 0..30 {
        catalogue
            .add(&format!("tool-{n}"), "description = \"thing\"")
            .await;
    }
    for text in ["thing", ""] {
        let page = |offset| {
            let query = Query {
                offset,
                limit: 7,
                ..Query::text(text)
            };
            let found = catalogue.store.search(&query, NOW).unwrap();
            assert_eq!(found.total, 30);
            found
                .hits
                .into_iter()
                .map(|hit| hit.package.name.to_string())
                .collect::<Vec<_>>()
        };
        let mut all: Vec<String> = (0..5).flat_map(|n| page(n * 7)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 30, "{text:?}");
    }
}

/// Texts that stress the index's own syntax.
const ODD: [&str; 14] = [
    "\"",
    "*",
    "NEAR(",
    "a OR",
    "a AND",
    "NOT",
    "a NOT b",
    "{name}: x",
    "name:x",
    "^a",
    "a + b",
    "()",
    "-\"a",
    "🦀 عربي\u{202e}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_finds_something_or_nothing(text in "\\PC{0,60}", odd in 0..ODD.len()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let catalogue = Catalogue::new();
            let (head, manifest) = catalogue.add("a-tool", "description = \"near or not and a thing\"\ntags = [\"b\"]").await;
            for text in [text.as_str(), ODD[odd], &format!("{text} {}", ODD[odd]), &text.repeat(40)] {
                let query = Query::text(text).bounded();
                let found = catalogue.store.search(&query, NOW).unwrap();
                prop_assert!(found.total >= found.hits.len() as u64);
                catalogue.store.facets(&query, NOW).unwrap();
                // Peers accept as hits all that this node returns to them.
                let told = catalogue.store.search_for_others(&query, NOW).unwrap();
                prop_assert!(told.hits.is_empty() || could_match(&query.terms(), &head, &manifest), "{}", text);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn packages_that_are_stored_together_are_one_segment_of_the_index() {
    let (from, to) = (Catalogue::new(), Catalogue::new());
    let mut heads = Vec::new();
    for n in 0..10 {
        let (head, manifest) = from
            .add(&format!("package-{n}"), "description = \"words\"")
            .await;
        heads.push((head, Some(manifest)));
    }
    // Segments stay apart, to be counted.
    let apart = |db: &Connection| {
        db.execute_batch(
            "INSERT INTO words (words, rank) VALUES ('automerge', 0), ('crisismerge', 1000)",
        )
    };
    to.store.write(apart).await.unwrap();
    to.store.take_heads(heads, NOW).await.unwrap();
    let segments = to.store.read(|db| {
        db.query_row("SELECT count(DISTINCT segid) FROM words_idx", [], |row| {
            row.get::<_, u32>(0)
        })
    });
    assert_eq!(
        segments.unwrap(),
        1,
        "a statement savepoint writes the index"
    );
}
