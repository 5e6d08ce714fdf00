//! A run: nodes, the links between them, and events, one after the other.

use crate::{
    metrics::Metrics,
    net::machines::K,
    sim::{
        Id, Options,
        book::{Book, HEARD_WITHIN},
        dice::Dice,
        model::gossip::Figures,
        node::{Alarm, Most, NodeOrder, Scene, SimEffect, SimLink, SimNode, Wire, times},
        script::{BURST, NodeRole, PlannedStep, Script, roles},
        shared::SharedObjects,
        time::{Queue, Time},
    },
};

/// An event.
enum SimEvent {
    Step(PlannedStep),
    /// A message arrives over a connection, if that still exists.
    Arrives {
        to: Id,
        from: Id,
        link: u32,
        wire: Wire,
    },
    /// A dial reaches its peer.
    Knocks {
        from: Id,
        to: Id,
        epoch: u32,
    },
    /// A dial fails.
    Refused {
        from: Id,
        to: Id,
        epoch: u32,
    },
    /// Both sides of a connection know each other's protocols.
    Known {
        from: Id,
        to: Id,
        link: u32,
    },
    Alarm {
        node: Id,
        epoch: u32,
        alarm: Alarm,
    },
}

/// A hash of all events, in order.
pub struct EventHash {
    hash: blake3::Hasher,
    held: Vec<u8>,
    pub events: u64,
}

impl EventHash {
    fn new() -> Self {
        Self {
            hash: blake3::Hasher::new(),
            held: Vec::new(),
            events: 0,
        }
    }

    fn note(&mut self, now: Time, what: u8, a: u32, b: u32, c: u64) {
        const WHOLE: usize = 1 << 16;
        self.events += 1;
        self.held.extend_from_slice(&now.micros().to_le_bytes());
        self.held.push(what);
        self.held.extend_from_slice(&a.to_le_bytes());
        self.held.extend_from_slice(&b.to_le_bytes());
        self.held.extend_from_slice(&c.to_le_bytes());
        if self.held.len() >= WHOLE {
            self.hash.update(&self.held);
            self.held.clear();
        }
    }

    /// Returns the hash in hexadecimal digits.
    pub fn finish(&self) -> String {
        let mut hash = self.hash.clone();
        hash.update(&self.held);
        hash.finalize().to_hex().to_string()
    }
}

pub struct World {
    pub options: Options,
    pub shared: SharedObjects,
    pub nodes: Vec<SimNode>,
    pub book: Book,
    pub trace: EventHash,
    pub signatures: u64,
    pub end: Time,
    pub now: Time,
    queue: Queue<SimEvent>,
    dice: Dice,
    /// The connections that exist, by number.
    links: Vec<bool>,
    /// Collects the actions of a node.
    out: Vec<SimEffect>,
    /// Packages with their publisher's node, and the announced ones with their times.
    packages: Vec<(Id, u32)>,
    announced: Vec<(Time, u32)>,
}

impl World {
    /// Creates a world before its first event; `None` if gossip's parameters are rejected.
    pub fn new(options: Options) -> Option<Self> {
        let roles = roles(&options);
        Self::with_roles(options, &roles)
    }

    /// As [`Self::new`], with these roles.
    pub fn with_roles(options: Options, roles: &[NodeRole]) -> Option<Self> {
        let script = Script::new(&options, roles);
        let (figures, metrics) = (Figures::of_nodes()?, Metrics::default());
        let shared = SharedObjects::new(roles, options.seed);
        let ids = 0..roles.len() as Id;
        let nodes = ids.filter_map(|id| SimNode::new(id, &shared, &options, figures, &metrics));
        let nodes: Vec<SimNode> = nodes.collect();
        let mut queue = Queue::new();
        for (at, step) in script.steps {
            queue.push(at, SimEvent::Step(step));
        }
        Some(Self {
            dice: Dice::of(options.seed, "world", 0),
            options,
            shared,
            nodes,
            book: Book::default(),
            trace: EventHash::new(),
            signatures: 0,
            end: script.end,
            now: Time::default(),
            queue,
            links: Vec::new(),
            out: Vec::new(),
            packages: Vec::new(),
            announced: Vec::new(),
        })
    }

    /// Runs the next event. Returns false at the end of the run.
    pub fn step(&mut self) -> bool {
        let Some((now, event)) = self.queue.pop() else {
            return false;
        };
        if now > self.end {
            return false;
        }
        self.now = now;
        self.happens(event);
        true
    }

    /// Runs all events until this time.
    #[cfg(test)]
    pub fn run_until(&mut self, time: Time) {
        while self.queue.next_at().is_some_and(|next| next <= time) && self.step() {}
        self.now = self.now.max(time);
    }

    pub fn node(&self, id: Id) -> Option<&SimNode> {
        self.nodes.get(id as usize)
    }

    pub fn honest(&self) -> Vec<Id> {
        let honest = self.nodes.iter().filter(|node| node.is_honest());
        honest.map(|node| node.me).collect()
    }

    /// Returns the largest size that each queue of a node ever had.
    pub fn most(&self) -> Most {
        let mut most = Most::default();
        self.nodes.iter().for_each(|node| most.join(&node.most));
        most
    }

    /// Returns the largest number of waiting events.
    pub fn most_events(&self) -> usize {
        self.queue.most
    }

    pub fn act(&mut self, id: Id, does: impl FnOnce(&mut SimNode, &mut Scene<'_>)) {
        let mut out = std::mem::take(&mut self.out);
        if let Some(node) = self.nodes.get_mut(id as usize) {
            let mut cx = Scene {
                now: self.now,
                shared: &self.shared,
                out: &mut out,
                signatures: &mut self.signatures,
            };
            does(node, &mut cx);
        }
        for effect in out.drain(..) {
            self.does(id, effect);
        }
        self.out = out;
    }

    fn is_open(&self, link: u32) -> bool {
        self.links.get(link as usize).is_some_and(|open| *open)
    }

    fn happens(&mut self, event: SimEvent) {
        let now = self.now;
        match event {
            SimEvent::Step(step) => self.follow(step),
            SimEvent::Arrives {
                to,
                from,
                link,
                wire,
            } => {
                self.trace.note(now, 1, from, to, u64::from(link));
                if self.is_open(link) {
                    self.act(to, |node, cx| node.take(from, wire, cx));
                }
            }
            SimEvent::Knocks { from, to, epoch } => {
                self.trace.note(now, 2, from, to, u64::from(epoch));
                if self.is_at(from, epoch) {
                    self.knocks(from, to);
                }
            }
            SimEvent::Refused { from, to, epoch } => {
                self.trace.note(now, 3, from, to, u64::from(epoch));
                if self.is_at(from, epoch) {
                    self.act(from, |node, cx| node.not_connected(to, cx));
                }
            }
            SimEvent::Known { from, to, link } => {
                self.trace.note(now, 4, from, to, u64::from(link));
                for (one, other) in [(from, to), (to, from)] {
                    if self.is_open(link) {
                        self.act(one, |node, cx| node.identified(other, cx));
                    }
                }
            }
            SimEvent::Alarm { node, epoch, alarm } => {
                if self.is_at(node, epoch) {
                    self.act(node, |node, cx| node.woken(alarm, cx));
                }
            }
        }
    }

    /// Returns true if a node has not left since.
    fn is_at(&self, id: Id, epoch: u32) -> bool {
        self.node(id)
            .is_some_and(|node| node.online && node.epoch == epoch)
    }

    fn follow(&mut self, step: PlannedStep) {
        let (now, seed) = (self.now, self.options.seed);
        match step {
            PlannedStep::Enter(id) => {
                self.trace.note(now, 5, id, 0, 0);
                let known = self.addresses_for(id);
                self.book.entered(id, now);
                self.act(id, |node, cx| node.enter(&known, cx));
            }
            PlannedStep::Leave(id) => {
                self.trace.note(now, 6, id, 0, 0);
                self.book.left(id, now);
                self.act(id, |node, cx| node.leave(cx));
            }
            PlannedStep::Publish(id) => {
                let package = self.package_of(id);
                let package = package.or_else(|| self.shared.package(seed).ok());
                let made = package.and_then(|package| {
                    let message = self.shared.release(package, id, now.stamp()).ok()?;
                    Some((package, message))
                });
                if let Some((package, message)) = made {
                    self.publishes(id, package, message);
                }
            }
            PlannedStep::Get(id) => {
                let old = self
                    .announced
                    .partition_point(|(at, _)| at.after(AGE) <= now);
                let wanted = self.announced.get(self.dice.below(old)).filter(|_| old > 0);
                let Some(package) = wanted.map(|(_, package)| *package) else {
                    // Nothing is published yet.
                    return self.queue.push(now.after(AGE), SimEvent::Step(step));
                };
                self.trace.note(now, 8, id, package, 0);
                self.book.gets_asked += 1;
                self.act(id, |node, cx| node.told(NodeOrder::Get { package }, cx));
            }
            PlannedStep::Forge(id) => {
                let victim = self.announced.last().map(|(_, package)| *package);
                let message = victim.and_then(|of| self.shared.forge(id, of, now.stamp()));
                if let Some(message) = message {
                    self.act(id, |node, cx| node.told(NodeOrder::Shout { message }, cx));
                }
            }
            PlannedStep::Flood(id) => {
                let package = self.package_of(id);
                let package = package.or_else(|| self.shared.package(seed).ok());
                let message = package.and_then(|package| {
                    self.packages.push((id, package));
                    self.shared.release(package, id, now.stamp()).ok()
                });
                if let Some(message) = message {
                    let count = BURST;
                    self.act(id, |node, cx| {
                        node.told(NodeOrder::Flood { message, count }, cx)
                    });
                }
            }
        }
    }

    /// Returns the addresses of the first node and another one, like those that a person is given.
    fn addresses_for(&mut self, id: Id) -> Vec<Id> {
        let there: Vec<Id> = self
            .nodes
            .iter()
            .filter(|node| node.online && node.me != id)
            .map(|node| node.me)
            .collect();
        let other = there.get(self.dice.below(there.len())).copied();
        there.first().copied().into_iter().chain(other).collect()
    }

    /// Returns the package to publish. Every third time it is a new version of an older one, once
    /// all nodes have received the previous version: a node that receives the newer one first would
    /// refuse it.
    fn package_of(&mut self, id: Id) -> Option<u32> {
        let (_, own) = *self.packages.iter().rev().find(|(by, _)| *by == id)?;
        let is_old = self.now.stamp().since(self.shared.last(own)?.at) > HEARD_WITHIN;
        (is_old && self.dice.below(3) == 0).then_some(own)
    }

    /// Returns the peers that a bootstrap finds: those closest to a node, and some from everywhere;
    /// with few connections, as many of these as of those.
    fn neighbours(&mut self, id: Id) -> Vec<Id> {
        let here = self.shared.position(id);
        let others = self.nodes.iter();
        let others = others.filter(|node| node.online && node.me != id);
        let mut found: Vec<(u64, Id)> = others
            .map(|node| (self.shared.position(node.me) ^ here, node.me))
            .collect();
        found.sort_unstable();
        let near = K.min(self.options.low_water / 2);
        let far = self.options.low_water - near;
        if let Some(rest) = found.get_mut(near..) {
            self.dice.pick(rest, far);
        }
        let found = found.into_iter().take(near + far);
        found.map(|(_, id)| id).collect()
    }

    fn publishes(&mut self, id: Id, package: u32, message: u32) {
        self.trace
            .note(self.now, 7, id, package, u64::from(message));
        self.packages.push((id, package));
        let owner = self.shared.owner(package);
        self.act(id, |node, cx| {
            node.known.extend(owner);
            node.told(NodeOrder::Publish { message }, cx);
        });
    }

    fn knocks(&mut self, from: Id, to: Id) {
        if self.node(from).is_some_and(|node| node.link(to).is_some()) {
            return self.act(from, |node, cx| node.flush(to, cx));
        }
        let number = self.links.len() as u32;
        self.links.push(false);
        let (mut let_in, mut goes_on) = (false, false);
        self.act(to, |node, cx| let_in = node.lets_in(number, from, cx));
        if let_in {
            self.act(from, |node, cx| goes_on = node.goes_on(number, to, cx));
        }
        if !goes_on {
            self.act(to, |node, _| node.given_up(number));
            return self.act(from, |node, cx| node.not_connected(to, cx));
        }
        let one_way = self.shared.one_way(from, to);
        if let Some(open) = self.links.get_mut(number as usize) {
            *open = true;
        }
        let link = |outbound| SimLink {
            number,
            outbound,
            one_way: one_way.as_micros() as u64,
            last: Time::default(),
            seen: Time::default(),
        };
        self.act(to, |node, cx| node.connected(from, link(false), cx));
        self.act(from, |node, cx| node.connected(to, link(true), cx));
        let (_, known) = times(one_way);
        let event = SimEvent::Known {
            from,
            to,
            link: number,
        };
        self.queue.push(self.now.after(known), event);
    }

    /// Executes an action of a node.
    fn does(&mut self, id: Id, effect: SimEffect) {
        let now = self.now;
        match effect {
            SimEffect::Send { to, link, at, wire } => {
                self.book.sent += 1;
                if !self.is_open(link) {
                    return;
                }
                let mut at = at;
                if self.dice.share() < self.options.loss {
                    self.book.lost += 1;
                    if matches!(wire, Wire::Gossip(_)) {
                        return;
                    }
                    at = at.after(RESENT);
                }
                let event = SimEvent::Arrives {
                    to,
                    from: id,
                    link,
                    wire,
                };
                self.queue.push(at, event);
            }
            SimEffect::Dial(to) => self.dials(id, to),
            SimEffect::Bootstrap => {
                let found = self.neighbours(id);
                self.act(id, |node, cx| node.told_of(&found, cx));
            }
            SimEffect::Close(peer) => {
                if let Some(link) = self.node(id).and_then(|node| node.link(peer)) {
                    self.trace.note(now, 9, id, peer, 0);
                    if let Some(open) = self.links.get_mut(link.number as usize) {
                        *open = false;
                    }
                    self.act(id, |node, cx| node.disconnected(peer, cx));
                    self.act(peer, |node, cx| node.disconnected(id, cx));
                }
            }
            SimEffect::After(after, alarm) => {
                let epoch = self.node(id).map_or(0, |node| node.epoch);
                let event = SimEvent::Alarm {
                    node: id,
                    epoch,
                    alarm,
                };
                self.queue.push(now.after(after), event);
            }
            SimEffect::Heard { message, via, how } => {
                self.trace.note(now, 10, id, via, u64::from(message));
                self.book.heard(message, id, via, how, now);
            }
            SimEffect::Copy { message, first } => self.book.copy(message, first),
            SimEffect::Announced { message, to } => {
                self.trace.note(now, 11, id, message, to as u64);
                if self
                    .node(id)
                    .is_some_and(|node| node.role == NodeRole::Honest)
                {
                    let news = self.shared.message(message);
                    let Some(Ok(news)) = news.map(|one| one.verdict) else {
                        return;
                    };
                    self.book.announced(message, news.package, id, now);
                    self.announced.push((now, news.package));
                }
            }
            SimEffect::LookedUp(found) => {
                let end = u64::from(found.asked) << 8 | u64::from(found.found);
                self.trace.note(now, 12, id, found.depth.unwrap_or(0), end);
                self.book.lookups.push(found);
            }
            SimEffect::Got { found, took } => {
                self.trace.note(now, 13, id, u32::from(found), 0);
                self.book.gets.push((found, took));
            }
            SimEffect::Banned(peer) => {
                self.trace.note(now, 14, id, peer, 0);
                self.book.bans.insert((id, peer));
                self.book.bans_at.entry(peer).or_insert(now);
            }
        }
    }

    fn dials(&mut self, from: Id, to: Id) {
        let epoch = self.node(from).map_or(0, |node| node.epoch);
        let one_way = self.shared.one_way(from, to);
        let is_there = self.node(to).is_some_and(|node| node.online);
        let (there, _) = times(one_way);
        if is_there && from != to {
            let event = SimEvent::Knocks { from, to, epoch };
            self.queue.push(self.now.after(there), event);
        } else {
            let event = SimEvent::Refused { from, to, epoch };
            self.queue.push(self.now.after(one_way * 2), event);
        }
    }
}

/// Lost gossip stays lost. Other messages arrive after being sent again, which takes this much
/// longer: Linux waits at least 200 ms for an acknowledgement, and longer for a distant peer.
const RESENT: std::time::Duration = std::time::Duration::from_millis(300);
/// A package is requested once it was announced this long ago.
const AGE: std::time::Duration = std::time::Duration::from_secs(2);
