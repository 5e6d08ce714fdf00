//! The demo's plan: nodes, locations, publications, and absences. The plan is a function of the
//! seed; the timing of the network is not.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use libp2p::{PeerId, identity::Keypair};
use rand::{
    Rng, RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IteratorRandom, SliceRandom},
};

use super::{catalogue::CatalogueEntry, city};
use crate::{
    RegistryError, Result,
    domain::{
        geo::GeoLocation,
        name::{Handle, PackageName},
    },
    node::Conduct,
};

/// Nodes in a city, if their number allows it: at least two, so that some peers are near each
/// other, and at most four, so that there are several cities on the map.
pub const CITY_SIZE: std::ops::RangeInclusive<usize> = 2..=4;
/// Number of nodes from which two misbehave.
const LARGE: usize = 8;
/// Upload rate of the slow one of them, in bytes a second.
const SLOW: u64 = 48 * 1_024;
/// Time for which absences are planned; a longer demo goes on without them.
pub const HORIZON: Duration = Duration::from_secs(3_600);
/// Time before and after an absence in which a node publishes nothing, because no peer could
/// receive it.
const MARGIN: Duration = Duration::from_secs(3);

/// Names for the second half of handles, after the city.
const ANIMALS: [&str; 32] = [
    "otter", "heron", "lynx", "ibex", "wren", "badger", "marten", "puffin", "gecko", "tapir",
    "finch", "beaver", "kiwi", "quokka", "falcon", "hare", "newt", "osprey", "panda", "robin",
    "seal", "swift", "toad", "urchin", "vole", "walrus", "yak", "zebra", "dingo", "egret",
    "ferret", "gannet",
];

/// The parameters of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanOptions {
    pub seed: u64,
    /// Number of nodes, at least one; the first is the user's.
    pub peers: usize,
    /// Packages a minute over the whole swarm.
    pub rate: f64,
    /// Share of nodes that leave and return, from 0 to 1.
    pub churn: f64,
}

/// One node of the swarm.
#[derive(Clone, Debug)]
pub struct PlannedPeer {
    pub node_key: Keypair,
    pub publisher_key: Keypair,
    pub handle: Handle,
    pub location: GeoLocation,
    /// The way it serves content. Two nodes of a larger swarm misbehave; they publish nothing.
    pub conduct: Conduct,
}

/// `entry` of the catalogue is published by `peer` at time `at` after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    pub at: Duration,
    pub peer: usize,
    pub entry: usize,
}

/// `peer` leaves and returns, at times after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    pub peer: usize,
    pub leaves: Duration,
    pub returns: Duration,
}

/// Everything decided before the swarm starts.
#[derive(Clone, Debug)]
pub struct DemoPlan {
    /// Peer 0 is the user's: it publishes like the others and never leaves.
    pub peers: Vec<PlannedPeer>,
    /// Sorted by time. Every entry occurs once; one peer publishes all versions of a package in
    /// ascending order.
    pub publications: Vec<Publication>,
    /// Sorted by time of leaving; absences of one peer do not overlap.
    pub absences: Vec<Absence>,
    owners: BTreeMap<PackageName, usize>,
    wish: PlanOptions,
}

impl DemoPlan {
    /// Makes a plan for `catalogue`, which must be sorted by name and version.
    pub fn new(wish: PlanOptions, catalogue: &[CatalogueEntry]) -> Result<Self> {
        if wish.peers == 0 {
            return Err(RegistryError::Usage(
                "a swarm needs at least one peer; give --peers 1 or more".to_owned(),
            ));
        }
        if !(wish.rate > 0.0 && wish.rate <= 60_000.0) {
            return Err(RegistryError::Usage(format!(
                "--rate {} is out of range; give a number above 0, at most 60000",
                wish.rate
            )));
        }
        if !(0.0..=1.0).contains(&wish.churn) {
            return Err(RegistryError::Usage(format!(
                "--churn {} is out of range; give a number from 0 to 1",
                wish.churn
            )));
        }
        let peers = peers(wish)?;
        let absences = absences(wish, &mut dice(wish.seed, "absences"));
        let honest = peers
            .iter()
            .enumerate()
            .filter(|(_, peer)| peer.conduct == Conduct::Honest)
            .map(|(n, _)| n);
        let owners = owners(
            catalogue,
            &honest.collect::<Vec<_>>(),
            &mut dice(wish.seed, "owners"),
        );
        let publications = publications(wish, catalogue, |_| true, &owners, &absences);
        Ok(Self {
            peers,
            publications,
            absences,
            owners,
            wish,
        })
    }

    /// Returns the publications that are not in `published` yet.
    pub fn left(
        &self,
        catalogue: &[CatalogueEntry],
        published: impl Fn(&CatalogueEntry) -> bool,
    ) -> Vec<Publication> {
        publications(
            self.wish,
            catalogue,
            |entry| !published(entry),
            &self.owners,
            &self.absences,
        )
    }

    /// Returns the location of each peer.
    pub fn places(&self) -> HashMap<PeerId, GeoLocation> {
        self.peers
            .iter()
            .map(|peer| (peer.node_key.public().to_peer_id(), peer.location.clone()))
            .collect()
    }

    /// Returns the one-way latency between each pair of nodes.
    pub fn one_ways(&self) -> Vec<Duration> {
        let homes = self.peers.iter().map(|peer| &peer.location);
        homes
            .clone()
            .enumerate()
            .flat_map(|(n, a)| homes.clone().take(n).map(|b| a.one_way(b)))
            .collect()
    }

    /// Returns the peer that publishes a package.
    pub fn owner(&self, package: &PackageName) -> Option<&PlannedPeer> {
        self.peers.get(*self.owners.get(package)?)
    }
}

/// Returns a random generator for one part of the plan, so that a change to one parameter does not
/// affect the other parts.
fn dice(seed: u64, part: &str) -> StdRng {
    StdRng::from_seed(seeded(seed, part, 0))
}

/// Returns the 32 bytes of seed `number` for a part.
fn seeded(seed: u64, part: &str, number: usize) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("swarmdex demo plan, format 1");
    hasher
        .update(&seed.to_be_bytes())
        .update(&(number as u64).to_be_bytes())
        .update(part.as_bytes());
    *hasher.finalize().as_bytes()
}

fn key(seed: u64, part: &str, number: usize) -> Result<Keypair> {
    Keypair::ed25519_from_bytes(seeded(seed, part, number)).map_err(|error| {
        RegistryError::Internal {
            what: "making a demo key",
            why: error.to_string(),
        }
    })
}

fn peers(wish: PlanOptions) -> Result<Vec<PlannedPeer>> {
    let mut dice = dice(wish.seed, "places");
    let mut cities = city::cities()?;
    cities.shuffle(&mut dice);
    let mut homes: Vec<usize> = sizes(wish.peers, cities.len(), &mut dice)
        .into_iter()
        .enumerate()
        .flat_map(|(n, size)| vec![n; size])
        .collect();
    homes.shuffle(&mut dice);
    let mut animals = ANIMALS;
    animals.shuffle(&mut dice);
    let mut met: BTreeMap<usize, usize> = BTreeMap::new();
    let mut peers = Vec::with_capacity(wish.peers);
    for (number, home) in homes.into_iter().enumerate() {
        let missing = || RegistryError::Internal {
            what: "planning the demo",
            why: format!("no city {home}"),
        };
        let city = cities.get(home).ok_or_else(missing)?;
        let neighbours = met.entry(home).or_default();
        let handle = handle(&city.slug(), &animals, home, *neighbours)?;
        *neighbours += 1;
        // Within 11 km of the centre, so that neighbours are close but distinct on the map.
        let (north, east) = (dice.random_range(-0.1..=0.1), dice.random_range(-0.1..=0.1));
        peers.push(PlannedPeer {
            node_key: key(wish.seed, "node", number)?,
            publisher_key: key(wish.seed, "publisher", number)?,
            handle,
            location: city.near(north, east).ok_or_else(missing)?,
            conduct: Conduct::Honest,
        });
    }
    spoil(&mut peers);
    Ok(peers)
}

/// Makes the last two nodes of a larger swarm misbehave: other nodes do not know them in advance.
fn spoil(peers: &mut [PlannedPeer]) {
    if peers.len() < LARGE {
        return;
    }
    for (peer, conduct) in peers
        .iter_mut()
        .rev()
        .zip([Conduct::Corrupt, Conduct::Paced(SLOW)])
    {
        peer.conduct = conduct;
    }
}

/// Returns a handle from a city and an animal, with a number once all animals are used.
fn handle(city: &str, animals: &[&str], home: usize, neighbour: usize) -> Result<Handle> {
    // The stride has no factor in common with the number of animals, so that small swarms use many
    // of them.
    let animal = animals
        .get((home * 5 + neighbour) % animals.len().max(1))
        .copied()
        .unwrap_or_default();
    let handle = match neighbour / animals.len().max(1) {
        0 => format!("{city}-{animal}"),
        round => format!("{city}-{animal}-{}", round + 1),
    };
    Ok(handle.parse()?)
}

/// Returns the number of nodes in each city that is used.
fn sizes(peers: usize, cities: usize, dice: &mut impl Rng) -> Vec<usize> {
    let (least, most) = (*CITY_SIZE.start(), *CITY_SIZE.end());
    let used = (peers / 3)
        .clamp(peers.div_ceil(most), (peers / least).max(1))
        .min(cities)
        .max(1);
    let mut sizes = vec![(peers / used).min(least); used];
    // If there are more than four peers for each city, cities get more of them.
    let room = peers.div_ceil(used).max(most);
    for _ in sizes.iter().sum::<usize>()..peers {
        if let Some(size) = sizes.iter_mut().filter(|size| **size < room).choose(dice) {
            *size += 1;
        }
    }
    sizes
}

/// Assigns one publisher to all versions of a package.
fn owners(
    catalogue: &[CatalogueEntry],
    peers: &[usize],
    dice: &mut impl Rng,
) -> BTreeMap<PackageName, usize> {
    let mut names: Vec<&PackageName> = catalogue.iter().map(|entry| &entry.package).collect();
    names.dedup();
    names.shuffle(dice);
    // Deal packages out like cards, so that everyone publishes early on.
    names
        .into_iter()
        .zip(peers.iter().cycle())
        .map(|(name, peer)| (name.clone(), *peer))
        .collect()
}

/// Plans absences: some peers leave for a while, return, and may leave again.
fn absences(wish: PlanOptions, dice: &mut impl Rng) -> Vec<Absence> {
    let others: Vec<usize> = (1..wish.peers).collect();
    let leaving = ((others.len() as f64) * wish.churn).round() as usize;
    let mut absences = Vec::new();
    for peer in others.into_iter().sample(dice, leaving) {
        let mut leaves = seconds(dice, 6.0..60.0);
        while leaves < HORIZON {
            let returns = leaves + seconds(dice, 6.0..30.0);
            absences.push(Absence {
                peer,
                leaves,
                returns,
            });
            leaves = returns + seconds(dice, 45.0..240.0);
        }
    }
    absences.sort_by_key(|absence| (absence.leaves, absence.peer));
    absences
}

/// Seconds between two publications that the user's project needs.
const BETWEEN_NEEDED: f64 = 0.1;

fn publications(
    wish: PlanOptions,
    catalogue: &[CatalogueEntry],
    wanted: impl Fn(&CatalogueEntry) -> bool,
    owners: &BTreeMap<PackageName, usize>,
    absences: &[Absence],
) -> Vec<Publication> {
    let dice = &mut dice(wish.seed, "publications");
    let mut waiting = shuffled(catalogue, dice);
    waiting.retain(|entry| catalogue.get(*entry).is_some_and(&wanted));
    let owner = |entry: usize| {
        catalogue
            .get(entry)
            .and_then(|entry| owners.get(&entry.package))
            .copied()
    };
    let is_needed = |entry: usize| catalogue.get(entry).is_some_and(|entry| entry.needed);
    let mut needed = waiting.iter().filter(|entry| is_needed(**entry)).count();
    let mut at = Duration::ZERO;
    let mut publications = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let mean = if needed > 0 {
            BETWEEN_NEEDED
        } else {
            60.0 / wish.rate
        };
        // Vary the intervals between half and one and a half times the mean, which keeps the rate.
        at += seconds(dice, 0.5 * mean..1.5 * mean);
        // Take the first entry whose publisher is online. All versions of a package have one
        // publisher, so they stay in order.
        let is_next = |entry: &usize| {
            (needed == 0 || is_needed(*entry))
                && owner(*entry).is_some_and(|peer| is_there(absences, peer, at))
        };
        let next = waiting.iter().position(is_next);
        if let Some(entry) = next.and_then(|next| waiting.remove(next))
            && let Some(peer) = owner(entry)
        {
            needed -= usize::from(is_needed(entry));
            publications.push(Publication { at, peer, entry });
        }
    }
    publications
}

/// Returns the entries' numbers in random order, with the versions of a package in ascending order.
fn shuffled(catalogue: &[CatalogueEntry], dice: &mut impl Rng) -> VecDeque<usize> {
    let mut order: Vec<usize> = (0..catalogue.len()).collect();
    order.shuffle(dice);
    let name = |entry: usize| catalogue.get(entry).map(|entry| &entry.package);
    let mut versions: BTreeMap<Option<&PackageName>, VecDeque<usize>> = BTreeMap::new();
    for entry in 0..catalogue.len() {
        versions.entry(name(entry)).or_default().push_back(entry);
    }
    order
        .into_iter()
        .filter_map(|entry| versions.get_mut(&name(entry))?.pop_front())
        .collect()
}

fn is_there(absences: &[Absence], peer: usize, at: Duration) -> bool {
    let away = |absence: &Absence| at + MARGIN >= absence.leaves && at <= absence.returns + MARGIN;
    !absences
        .iter()
        .any(|absence| absence.peer == peer && away(absence))
}

fn seconds(dice: &mut impl Rng, range: std::ops::Range<f64>) -> Duration {
    Duration::from_secs_f64(dice.random_range(range))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::LazyLock};

    use super::super::catalogue::{CatalogueSource, DemoCatalogue, Needs};
    use super::*;
    use proptest::prelude::*;

    static CATALOGUE: LazyLock<Vec<CatalogueEntry>> = LazyLock::new(|| {
        DemoCatalogue::load(&CatalogueSource::Embedded, &Needs::default())
            .unwrap()
            .entries
    });

    fn wish(seed: u64, peers: usize) -> PlanOptions {
        PlanOptions {
            seed,
            peers,
            rate: 60.0,
            churn: 0.25,
        }
    }

    fn plan(wish: PlanOptions) -> DemoPlan {
        DemoPlan::new(wish, &CATALOGUE).unwrap()
    }

    fn city_sizes(plan: &DemoPlan) -> Vec<usize> {
        let mut sizes: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for peer in &plan.peers {
            *sizes.entry(peer.location.place.clone()).or_default() += 1;
        }
        sizes.into_values().collect()
    }

    #[test]
    fn what_a_project_needs_comes_first_and_soon() {
        let mut catalogue = CATALOGUE.clone();
        catalogue
            .iter_mut()
            .step_by(5)
            .for_each(|entry| entry.needed = true);
        let needed = catalogue.iter().filter(|entry| entry.needed).count();
        let plan = DemoPlan::new(wish(3, 12), &catalogue).unwrap();
        assert_eq!(plan.publications.len(), catalogue.len());
        let (first, rest) = plan.publications.split_at(needed);
        assert!(first.iter().all(|one| catalogue[one.entry].needed));
        assert!(rest.iter().all(|one| !catalogue[one.entry].needed));
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let bad = [
            PlanOptions {
                peers: 0,
                ..wish(1, 1)
            },
            PlanOptions {
                rate: 0.0,
                ..wish(1, 1)
            },
            PlanOptions {
                rate: f64::NAN,
                ..wish(1, 1)
            },
            PlanOptions {
                churn: 1.5,
                ..wish(1, 1)
            },
        ];
        for wish in bad {
            assert!(
                DemoPlan::new(wish, &CATALOGUE).unwrap_err().is_usage(),
                "{wish:?}"
            );
        }
    }

    #[test]
    fn more_churn_moves_nobody() {
        let calm = plan(PlanOptions {
            churn: 0.0,
            ..wish(3, 12)
        });
        let lively = plan(PlanOptions {
            churn: 1.0,
            ..wish(3, 12)
        });
        assert!(calm.absences.is_empty());
        assert!(
            lively
                .absences
                .iter()
                .map(|absence| absence.peer)
                .collect::<BTreeSet<_>>()
                .len()
                == 11
        );
        let homes = |plan: &DemoPlan| {
            plan.peers
                .iter()
                .map(|peer| peer.location.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(homes(&calm), homes(&lively));
    }

    #[test]
    fn neighbours_are_near_and_others_are_not() {
        let plan = plan(wish(7, 12));
        assert_eq!(plan.places().len(), 12);
        let mut one_ways = plan.one_ways();
        one_ways.sort_unstable();
        assert_eq!(one_ways.len(), 66);
        assert!(one_ways.first().unwrap() < &Duration::from_millis(1));
        assert!(one_ways.last().unwrap() > &Duration::from_millis(30));
        assert!(
            DemoPlan::new(wish(7, 1), &[])
                .unwrap()
                .one_ways()
                .is_empty()
        );
    }

    #[test]
    fn a_plan_for_no_packages_is_one() {
        assert!(
            DemoPlan::new(wish(1, 3), &[])
                .unwrap()
                .publications
                .is_empty()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_same_seed_gives_the_same_plan(seed in any::<u64>(), peers in 1usize..30) {
            let (a, b) = (plan(wish(seed, peers)), plan(wish(seed, peers)));
            prop_assert_eq!(&a.publications, &b.publications);
            prop_assert_eq!(&a.absences, &b.absences);
            for (a, b) in a.peers.iter().zip(&b.peers) {
                prop_assert_eq!((&a.handle, &a.location), (&b.handle, &b.location));
                prop_assert_eq!(a.node_key.public(), b.node_key.public());
                prop_assert_eq!(a.publisher_key.public(), b.publisher_key.public());
            }
        }

        #[test]
        fn everybody_is_somebody_else_and_has_neighbours(seed in any::<u64>(), peers in 1usize..130) {
            let plan = plan(wish(seed, peers));
            prop_assert_eq!(plan.peers.len(), peers);
            let handles: BTreeSet<_> = plan.peers.iter().map(|peer| &peer.handle).collect();
            let keys: BTreeSet<_> = plan.peers.iter().flat_map(|peer| [&peer.node_key, &peer.publisher_key])
                .map(|key| key.public().to_peer_id()).collect();
            prop_assert_eq!((handles.len(), keys.len()), (peers, 2 * peers));
            prop_assert!(plan.peers.iter().all(|peer| peer.location.is_valid() && peer.location.place.is_some()));
            if (2..=96).contains(&peers) {
                let sizes = city_sizes(&plan);
                prop_assert!(sizes.iter().all(|size| CITY_SIZE.contains(size)), "{:?}", sizes);
            }
        }

        #[test]
        fn everything_is_published_once_in_order_by_one_who_is_there(seed in any::<u64>(), peers in 1usize..30, churn in 0.0..=1.0f64) {
            let plan = plan(PlanOptions { churn, ..wish(seed, peers) });
            prop_assert!(plan.publications.is_sorted_by_key(|publication| publication.at));
            let entries: BTreeSet<_> = plan.publications.iter().map(|publication| publication.entry).collect();
            prop_assert_eq!((entries.len(), plan.publications.len()), (CATALOGUE.len(), CATALOGUE.len()));
            let mut last = BTreeMap::new();
            for publication in &plan.publications {
                let CatalogueEntry { package, draft, .. } = &CATALOGUE[publication.entry];
                let version = draft.version.read(package.ecosystem()).unwrap();
                prop_assert!(is_there(&plan.absences, publication.peer, publication.at));
                let owner = plan.owner(package).unwrap();
                prop_assert_eq!(&owner.handle, &plan.peers[publication.peer].handle);
                if let Some(before) = last.insert(package, version.clone()) {
                    prop_assert!(before < version);
                }
            }
            let minutes = plan.publications.last().unwrap().at.as_secs_f64() / 60.0;
            let pace = CATALOGUE.len() as f64 / minutes;
            prop_assert!((45.0..75.0).contains(&pace), "{} a minute", pace);
        }

        #[test]
        fn you_stay_and_others_come_back(seed in any::<u64>(), peers in 1usize..30, churn in 0.0..=1.0f64) {
            let plan = plan(PlanOptions { churn, ..wish(seed, peers) });
            prop_assert!(plan.absences.is_sorted_by_key(|absence| absence.leaves));
            let mut back: BTreeMap<usize, Duration> = BTreeMap::new();
            for absence in &plan.absences {
                prop_assert!(absence.peer != 0 && absence.peer < peers && absence.returns > absence.leaves);
                let before = back.insert(absence.peer, absence.returns).unwrap_or_default();
                prop_assert!(absence.leaves > before);
            }
            prop_assert_eq!(back.len(), ((peers - 1) as f64 * churn).round() as usize);
        }
    }
}
