//! The plan of a run: the hostile nodes and their roles, and the times of leaving, returning,
//! publishing and asking. It depends only on the options.

use std::time::Duration;

use crate::sim::{Id, Options, dice::Dice, time::Time};

/// The way a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    Honest,
    /// Forwards announcements that it has altered.
    Forger,
    /// Answers with damaged records.
    Liar,
    /// Answers pings and the DHT's requests for peers, and nothing else.
    Staller,
    /// Claims to have nothing of what it has.
    Withholder,
    /// Sends far more than its allowance.
    Flooder,
}

/// A planned event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedStep {
    Enter(Id),
    Leave(Id),
    Publish(Id),
    /// The node's person wants a package.
    Get(Id),
    Forge(Id),
    Flood(Id),
}

/// Messages of a burst: one burst is within the allowance, two are a flood.
pub const BURST: u32 = 600;
/// Interval at which a forger sends.
const FORGING: Duration = Duration::from_secs(3);
/// Interval of a flooder's bursts.
const FLOODING: Duration = Duration::from_secs(2);
/// Bursts of a flooder.
const BURSTS: u32 = 4;

#[derive(Debug)]
pub struct Script {
    /// By time.
    pub steps: Vec<(Time, PlannedStep)>,
    /// The end of the run.
    pub end: Time,
}

impl Script {
    pub fn new(options: &Options, roles: &[NodeRole]) -> Self {
        let honest: Vec<Id> = of(roles, |role| role == NodeRole::Honest);
        let mut dice = Dice::of(options.seed, "script", 0);
        let mut steps = Vec::new();
        let nodes = options.nodes as u32;
        let joining = options.warm_up / 2;
        for id in 0..nodes {
            let at = Time::at(joining.mul_f64(f64::from(id) / f64::from(nodes.max(1))));
            steps.push((at, PlannedStep::Enter(id)));
        }
        let (begin, active) = (options.warm_up, options.active);
        let during = |dice: &mut Dice| Time::at(begin + active.mul_f64(dice.share()));
        // The first one never leaves, because all nodes have its address.
        let (leaving, steady) = split(&honest, options.churn, &mut dice);
        for id in leaving {
            let leaves = Time::at(begin + active.mul_f64(dice.share() * 0.7));
            let away = Duration::from_secs(5) + active.mul_f64(dice.share() * 0.25);
            steps.push((leaves, PlannedStep::Leave(id)));
            steps.push((leaves.after(away), PlannedStep::Enter(id)));
        }
        let somebody = |dice: &mut Dice| steady.get(dice.below(steady.len())).copied();
        for _ in 0..options.publishes {
            let at = during(&mut dice);
            steps.extend(somebody(&mut dice).map(|id| (at, PlannedStep::Publish(id))));
        }
        for _ in 0..options.lookups {
            let at = during(&mut dice).after(LATER);
            steps.extend(somebody(&mut dice).map(|id| (at, PlannedStep::Get(id))));
        }
        for (id, role) in (0..).zip(roles) {
            let (first, every, count) = match role {
                NodeRole::Forger => {
                    let count = active.as_secs() / FORGING.as_secs();
                    let first = begin + active.mul_f64(dice.share() / 2.0);
                    (Time::at(first), FORGING, count as u32)
                }
                NodeRole::Flooder => (Time::at(begin + LATER), FLOODING, BURSTS),
                NodeRole::Honest | NodeRole::Liar | NodeRole::Staller | NodeRole::Withholder => {
                    continue;
                }
            };
            let step = match role {
                NodeRole::Forger => PlannedStep::Forge(id),
                _ => PlannedStep::Flood(id),
            };
            steps.extend((0..count).map(|n| (first.after(every * n), step)));
        }
        steps.sort_by_key(|(at, _)| *at);
        Self {
            steps,
            end: Time::at(begin + active + options.settle),
        }
    }
}

/// Delay of the first lookups and floods, until something was published.
const LATER: Duration = Duration::from_secs(3);

fn of(roles: &[NodeRole], is: impl Fn(NodeRole) -> bool) -> Vec<Id> {
    let all = (0..).zip(roles);
    all.filter(|(_, role)| is(**role))
        .map(|(id, _)| id)
        .collect()
}

/// Assigns the roles. One in fifty of the hostile nodes floods; of the others, a quarter each
/// forge, lie, stall and withhold.
pub fn roles(options: &Options) -> Vec<NodeRole> {
    let hostile = (options.nodes as f64 * options.hostile) as usize;
    let kind = |n: usize| match n % 50 {
        3 => NodeRole::Flooder,
        n if n.is_multiple_of(4) => NodeRole::Forger,
        n if n % 4 == 1 => NodeRole::Liar,
        n if n % 4 == 2 => NodeRole::Staller,
        _ => NodeRole::Withholder,
    };
    let mut roles = vec![NodeRole::Honest; options.nodes];
    // Neither of the first two nodes, whose addresses are given to all.
    if let Some(others) = roles.get_mut(2..) {
        let hostile = hostile.min(others.len());
        let step = others.len() / hostile.max(1);
        for n in 0..hostile {
            if let Some(role) = others.get_mut(n * step) {
                *role = kind(n);
            }
        }
    }
    roles
}

/// Splits off a share of the nodes that leave for a while; the first one stays.
fn split(honest: &[Id], share: f64, dice: &mut Dice) -> (Vec<Id>, Vec<Id>) {
    let (first, others) = honest.split_at(honest.len().min(1));
    let mut others = others.to_vec();
    let count = (honest.len() as f64 * share).round() as usize;
    dice.pick(&mut others, count);
    let steady = others.split_off(count.min(others.len()));
    (others, [first, &steady].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_what_was_asked_for_and_depends_on_the_seed_alone() {
        let options = Options::new(200, 7);
        let roles = roles(&options);
        let script = Script::new(&options, &roles);
        let count =
            |is: fn(&PlannedStep) -> bool| script.steps.iter().filter(|(_, s)| is(s)).count();
        assert_eq!(
            count(|step| matches!(step, PlannedStep::Publish(_))),
            options.publishes
        );
        assert_eq!(
            count(|step| matches!(step, PlannedStep::Get(_))),
            options.lookups
        );
        let hostile = of(&roles, |role| role != NodeRole::Honest).len();
        assert_eq!(hostile, 50);
        assert_eq!(count(|step| matches!(step, PlannedStep::Leave(_))), 15);
        let bad = [
            NodeRole::Forger,
            NodeRole::Liar,
            NodeRole::Staller,
            NodeRole::Withholder,
            NodeRole::Flooder,
        ];
        for role in bad {
            assert!(roles.contains(&role), "{role:?}");
        }
        assert_eq!(Script::new(&options, &roles).steps, script.steps);
        let other = Options::new(200, 8);
        assert_ne!(Script::new(&other, &roles).steps, script.steps);
    }

    #[test]
    fn a_swarm_of_one_is_planned_too() {
        assert_eq!(roles(&Options::new(1, 7)), [NodeRole::Honest]);
    }
}
