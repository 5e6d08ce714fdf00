//! Explains in sentences why there is no resolution: PubGrub's derivation as a proof.

use std::{
    collections::{HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use super::{
    ReleaseSource,
    admit::is_plain,
    set::VersionRanges,
    universe::{FoundPackage, GraphNode, Universe},
};
use crate::ecosystem::Version;
use pubgrub::{
    DefaultStringReporter, DerivationTree, Derived, External, Map, ReportFormatter, Reporter, Term,
    VersionSet,
};

type ProofTree = DerivationTree<GraphNode, VersionRanges, String>;
type ProofFact = External<GraphNode, VersionRanges, String>;
type ProofStep = Derived<GraphNode, VersionRanges, String>;

/// The deepest nesting of a proof, because the reporter recurses.
const MAX_DEPTH: usize = 200;
/// The most steps of a proof, counted once for each use, because the reporter may repeat some.
const MAX_WALKED: usize = 10_000;
/// The most lines of a readable proof.
const MAX_LINES: usize = 60;
/// The most facts listed in place of a longer proof.
const MAX_FACTS: usize = 40;
/// The most packages, and releases of each, mentioned as held back.
const MAX_HELD_BACK: usize = 5;

const EVERY: &str = "every release of";
const IMPOSSIBLE: &str = "the request cannot be met";

/// Returns the whole explanation in a few lines, without a trailing line break.
pub(super) fn explain<S: ReleaseSource + ?Sized>(
    tree: ProofTree,
    universe: &Universe<'_, S>,
) -> String {
    let tree = Arc::new(tree);
    let nodes = bottom_up(&tree);
    let teller = Explainer { universe };
    let (depth, walked) = size(&nodes);
    let collapsed = Arc::new(collapse_gaps(&nodes));
    let proof = (depth <= MAX_DEPTH && walked <= MAX_WALKED)
        .then(|| match &*collapsed {
            DerivationTree::External(fact) => {
                format!("Because {}, {IMPOSSIBLE}.", teller.format_external(fact))
            }
            DerivationTree::Derived(_) => {
                DefaultStringReporter::report_with_formatter(&collapsed, &teller)
            }
        })
        .filter(|proof| proof.lines().count() <= MAX_LINES);
    let mut lines = proof.unwrap_or_else(|| teller.facts(&bottom_up(&collapsed)));
    for note in teller.notes(&nodes) {
        lines.push('\n');
        lines.push_str(&note);
    }
    drop(nodes);
    take_apart(tree);
    take_apart(collapsed);
    lines
}

/// Returns every node once, causes first. Nodes are shared, so walking them as a tree can take
/// exponential time.
fn bottom_up(tree: &Arc<ProofTree>) -> Vec<Arc<ProofTree>> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut path = vec![(tree, false)];
    while let Some((node, done)) = path.pop() {
        if done {
            order.push(node.clone());
        } else if seen.insert(Arc::as_ptr(node)) {
            path.push((node, true));
            if let DerivationTree::Derived(step) = &**node {
                path.extend([(&step.cause2, false), (&step.cause1, false)]);
            }
        }
    }
    order
}

/// Returns the depth of a tree and the number of nodes visited when walking it as a tree.
fn size(nodes: &[Arc<ProofTree>]) -> (usize, usize) {
    let mut sizes: HashMap<*const ProofTree, (usize, usize)> = HashMap::new();
    let mut last = (0, 0);
    for node in nodes {
        last = match &**node {
            DerivationTree::External(_) => (0, 1),
            DerivationTree::Derived(step) => {
                let of = |cause: &Arc<ProofTree>| {
                    sizes.get(&Arc::as_ptr(cause)).copied().unwrap_or_default()
                };
                let ((depth1, walked1), (depth2, walked2)) = (of(&step.cause1), of(&step.cause2));
                (
                    1 + depth1.max(depth2),
                    walked1.saturating_add(walked2).saturating_add(1),
                )
            }
        };
        sizes.insert(Arc::as_ptr(node), last);
    }
    last
}

/// Collapses facts about gaps between releases: "1.0.0 and 1.1.0 need it, and there is no other"
/// becomes "^1 needs it". [`DerivationTree::collapse_no_versions`] also collapses a gap that is the
/// whole reason, leaving only "needs ^9", and it walks shared nodes once for each path.
fn collapse_gaps(nodes: &[Arc<ProofTree>]) -> ProofTree {
    let mut collapsed: HashMap<*const ProofTree, Arc<ProofTree>> = HashMap::new();
    let mut last = None;
    for node in nodes {
        let new = match &**node {
            DerivationTree::External(_) => node.clone(),
            DerivationTree::Derived(step) => {
                let of = |cause: &Arc<ProofTree>| {
                    collapsed.get(&Arc::as_ptr(cause)).unwrap_or(cause).clone()
                };
                let (cause1, cause2) = (of(&step.cause1), of(&step.cause2));
                let merged = merge(&cause1, &cause2).or_else(|| merge(&cause2, &cause1));
                merged.unwrap_or_else(|| {
                    Arc::new(DerivationTree::Derived(ProofStep {
                        cause1,
                        cause2,
                        ..step.clone()
                    }))
                })
            }
        };
        collapsed.insert(Arc::as_ptr(node), new.clone());
        last = Some(new);
    }
    let root = last.map(|root| (*root).clone());
    root.unwrap_or_else(|| {
        DerivationTree::External(External::NotRoot(GraphNode::Asked, super::asked()))
    })
}

fn merge(gap: &ProofTree, other: &Arc<ProofTree>) -> Option<Arc<ProofTree>> {
    let DerivationTree::External(External::NoVersions(package, nothing)) = gap else {
        return None;
    };
    match &**other {
        DerivationTree::Derived(_) => Some(other.clone()),
        DerivationTree::External(External::FromDependencyOf(of, set, on, needed))
            if of == package =>
        {
            let set = set.union(nothing);
            let fact = External::FromDependencyOf(of.clone(), set, on.clone(), needed.clone());
            Some(Arc::new(DerivationTree::External(fact)))
        }
        DerivationTree::External(External::FromDependencyOf(_, _, on, needed))
            if on == package && !needed.subset_of(nothing) =>
        {
            Some(other.clone())
        }
        DerivationTree::External(External::Custom(of, set, why)) if of == package => {
            Some(Arc::new(DerivationTree::External(External::Custom(
                of.clone(),
                set.union(nothing),
                why.clone(),
            ))))
        }
        DerivationTree::External(_) => None,
    }
}

/// Drops a tree iteratively: the default drop would recurse as deep as the longest derivation and
/// overflow the stack.
fn take_apart(tree: Arc<ProofTree>) {
    let mut rest = vec![tree];
    while let Some(tree) = rest.pop() {
        if let Some(DerivationTree::Derived(step)) = Arc::into_inner(tree) {
            rest.extend([step.cause1, step.cause2]);
        }
    }
}

struct Explainer<'u, 'a, S: ?Sized> {
    universe: &'u Universe<'a, S>,
}

impl<S: ReleaseSource + ?Sized> Explainer<'_, '_, S> {
    /// Returns a set with held-back releases filled in, which are mentioned at the end. An excluded
    /// lower bound can only be such a hole, unless the solver made it by trying a release; those
    /// stay.
    fn whole(&self, found: &FoundPackage, set: &VersionRanges) -> VersionRanges {
        let above = |version: &&Version| {
            set.0
                .iter()
                .any(|(from, _)| *from == Bound::Excluded((*version).clone()))
        };
        let held_back = found
            .releases
            .iter()
            .filter(|choice| !is_plain(choice))
            .map(|(version, _)| version);
        set.union(&VersionRanges::of(
            held_back
                .filter(above)
                .filter(|version| !self.universe.tried(&found.id, version)),
        ))
    }

    /// Like [`Self::whole`], but a set that lists single releases is simplified to ranges of
    /// existing ones.
    fn told(&self, found: &FoundPackage, set: &VersionRanges) -> VersionRanges {
        let whole = self.whole(found, set);
        match found
            .releases
            .first()
            .is_some_and(|(version, _)| version.semver().is_none())
        {
            true => VersionRanges(
                whole
                    .0
                    .simplify(found.releases.iter().map(|(version, _)| version)),
            ),
            false => whole,
        }
    }

    /// Describes some releases of a package by what sets them apart from its other releases.
    fn some_of(&self, node: &GraphNode, set: &VersionRanges) -> String {
        let Some(found) = self.universe.found(node) else {
            return node.to_string();
        };
        let plain = found
            .releases
            .iter()
            .filter(|choice| is_plain(choice))
            .map(|(version, _)| version);
        let simple = VersionRanges(self.whole(&found, set).0.simplify(plain));
        if simple == VersionRanges::full() {
            format!("{EVERY} {node}")
        } else {
            format!("{node} {simple}")
        }
    }

    /// Describes a requirement on a package.
    fn asked_of(&self, node: &GraphNode, set: &VersionRanges) -> String {
        let Some(found) = self.universe.found(node) else {
            return node.to_string();
        };
        let set = self.told(&found, set);
        if set == VersionRanges::full() {
            node.to_string()
        } else {
            format!("{node} {set}")
        }
    }

    fn unusable(&self, node: &GraphNode, set: &VersionRanges) -> String {
        match self.some_of(node, set) {
            all if all.starts_with(EVERY) => format!("no release of {node} can be used"),
            some => format!("{some} cannot be used"),
        }
    }

    fn needs(
        &self,
        of: &GraphNode,
        set: &VersionRanges,
        on: &GraphNode,
        needed: &VersionRanges,
    ) -> String {
        format!(
            "{} needs {}",
            self.some_of(of, set),
            self.asked_of(on, needed)
        )
    }

    /// Lists the facts behind a long proof, which exclude each other.
    fn facts(&self, nodes: &[Arc<ProofTree>]) -> String {
        let mut facts: Vec<&ProofFact> = Vec::new();
        for node in nodes {
            if let DerivationTree::External(fact) = &**node
                && !matches!(fact, External::NotRoot(..))
            {
                facts.push(fact);
            }
        }
        // Missing packages come first, because they are the likeliest cause.
        facts.sort_by_key(|fact| match fact {
            External::Custom(..) => 0,
            External::NoVersions(..) => 1,
            _ => 2,
        });
        let shown = facts
            .iter()
            .take(MAX_FACTS)
            .map(|fact| format!("\n- {}", self.format_external(fact)));
        let mut text = "These facts contradict each other:".to_owned();
        text.extend(shown);
        if let Some(more) = facts.len().checked_sub(MAX_FACTS).filter(|more| *more > 0) {
            text.push_str(&format!("\n- and {more} more"));
        }
        text
    }

    /// Returns notes about existing releases that were not taken.
    fn notes(&self, nodes: &[Arc<ProofTree>]) -> Vec<String> {
        let mut packages = Vec::new();
        for node in nodes {
            if let DerivationTree::External(External::NoVersions(package, set)) = &**node
                && !packages.iter().any(|(other, _)| other == package)
            {
                packages.push((package.clone(), set));
            }
        }
        let mut notes = Vec::new();
        for (package, set) in packages.into_iter().take(MAX_HELD_BACK) {
            let Some(found) = self.universe.found(&package) else {
                continue;
            };
            let set = self.whole(&found, set);
            let builds: Vec<_> = found
                .releases
                .iter()
                .rev()
                .map(|(version, _)| version)
                .filter(|version| {
                    !set.contains(version) && set.named().any(|named| version.is_build_of(named))
                })
                .take(MAX_HELD_BACK)
                .map(ToString::to_string)
                .collect();
            if !builds.is_empty() {
                notes.push(format!(
                    "{package} also has {}: other builds, which are selected by their build \
                    metadata after +.",
                    builds.join(", ")
                ));
            }
            // Somebody who asks for ^2 is interested in 2.0.0-rc.1, although it is lower.
            let proper = |version: &Version| {
                let version = version.semver()?;
                Some(Version::from(semver::Version::new(
                    version.major,
                    version.minor,
                    version.patch,
                )))
            };
            let within = |version: &Version| {
                set.contains(version) || proper(version).is_some_and(|proper| set.contains(&proper))
            };
            let held_back = found
                .releases
                .iter()
                .rev()
                .filter(|choice| !is_plain(choice) && within(&choice.0));
            let held_back: Vec<_> = held_back
                .take(MAX_HELD_BACK)
                .map(|(_, release)| {
                    let why = if release.is_yanked() {
                        "yanked"
                    } else {
                        "a pre-release"
                    };
                    format!("{} ({why})", release.version)
                })
                .collect();
            if !held_back.is_empty() {
                notes.push(format!(
                    "{package} also has {}: request one exactly to get it.",
                    held_back.join(", ")
                ));
            }
            if !found.complete {
                notes.push(format!(
                    "The oldest releases of {package} were unavailable."
                ));
            }
        }
        notes
    }
}

impl<S: ReleaseSource + ?Sized> ReportFormatter<GraphNode, VersionRanges, String>
    for Explainer<'_, '_, S>
{
    type Output = String;

    fn format_external(&self, fact: &ProofFact) -> String {
        match fact {
            External::NotRoot(..) => "something was requested".to_owned(),
            External::NoVersions(package, set) => match self.universe.found(package) {
                Some(found) if self.whole(&found, set) != VersionRanges::full() => {
                    format!("{package} has no release in {}", self.told(&found, set))
                }
                _ => format!("{package} has no release"),
            },
            External::Custom(package, set, why) => {
                format!("{} ({why})", self.unusable(package, set))
            }
            External::FromDependencyOf(of, set, on, needed) => self.needs(of, set, on, needed),
        }
    }

    fn format_terms(&self, terms: &Map<GraphNode, Term<VersionRanges>>) -> String {
        let mut terms: Vec<_> = terms.iter().collect();
        terms.sort_by_key(|(node, _)| node.to_string());
        match terms.as_slice() {
            [] | [(GraphNode::Asked, _)] => IMPOSSIBLE.to_owned(),
            [(node, Term::Positive(set))] => self.unusable(node, set),
            [(node, Term::Negative(set))] => format!("{} must be used", self.asked_of(node, set)),
            [(of, Term::Positive(set)), (on, Term::Negative(needed))]
            | [(on, Term::Negative(needed)), (of, Term::Positive(set))] => {
                self.needs(of, set, on, needed)
            }
            [
                (one, Term::Positive(set)),
                (other, Term::Positive(excluded)),
            ] => {
                format!(
                    "{} excludes {}",
                    self.some_of(one, set),
                    self.some_of(other, excluded)
                )
            }
            terms => {
                let told: Vec<_> = terms
                    .iter()
                    .map(|(node, term)| match term {
                        Term::Positive(set) => self.some_of(node, set),
                        Term::Negative(set) => {
                            format!("doing without {}", self.asked_of(node, set))
                        }
                    })
                    .collect();
                format!("{} exclude each other", told.join(" and "))
            }
        }
    }

    fn explain_both_external(
        &self,
        first: &ProofFact,
        second: &ProofFact,
        so: &Map<GraphNode, Term<VersionRanges>>,
    ) -> String {
        let (first, second) = (self.format_external(first), self.format_external(second));
        format!("Because {first} and {second}, {}.", self.format_terms(so))
    }

    fn explain_both_ref(
        &self,
        first_line: usize,
        first: &ProofStep,
        second_line: usize,
        second: &ProofStep,
        so: &Map<GraphNode, Term<VersionRanges>>,
    ) -> String {
        let (first, second) = (
            self.format_terms(&first.terms),
            self.format_terms(&second.terms),
        );
        format!(
            "Because {first} ({first_line}) and {second} ({second_line}), {}.",
            self.format_terms(so)
        )
    }

    fn explain_ref_and_external(
        &self,
        line: usize,
        step: &ProofStep,
        fact: &ProofFact,
        so: &Map<GraphNode, Term<VersionRanges>>,
    ) -> String {
        let (step, fact) = (self.format_terms(&step.terms), self.format_external(fact));
        format!(
            "Because {step} ({line}) and {fact}, {}.",
            self.format_terms(so)
        )
    }

    fn and_explain_external(
        &self,
        fact: &ProofFact,
        so: &Map<GraphNode, Term<VersionRanges>>,
    ) -> String {
        format!(
            "And because {}, {}.",
            self.format_external(fact),
            self.format_terms(so)
        )
    }

    fn and_explain_ref(
        &self,
        line: usize,
        step: &ProofStep,
        so: &Map<GraphNode, Term<VersionRanges>>,
    ) -> String {
        format!(
            "And because {} ({line}), {}.",
            self.format_terms(&step.terms),
            self.format_terms(so)
        )
    }

    fn and_explain_prior_and_external(
        &self,
        prior: &ProofFact,
        fact: &ProofFact,
        so: &Map<GraphNode, Term<VersionRanges>>,
    ) -> String {
        let (prior, fact) = (self.format_external(prior), self.format_external(fact));
        format!("And because {prior} and {fact}, {}.", self.format_terms(so))
    }
}
