//! What the swarm reports, protocol by protocol.

use libp2p::{
    Multiaddr, PeerId, TransportError, autonat, gossipsub, identify, kad, mdns,
    metrics::Recorder,
    ping, request_response,
    swarm::{
        ConnectionId, DialError, ListenError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

use crate::net::{
    Inbound, Verdict,
    dht::lookups::{Answer, Done, Ended},
    peers::discovery,
    query::protocol::{MAX_OBJECTS, Request, Response},
    reach::dial_back as reach,
    reach::listen,
    reach::silence,
    staging::Conduct,
    swarm::behaviour::BehaviourEvent,
    swarm::command::{Answered, AskError},
    swarm::measure::Move,
    swarm::task::{MAX_OUTSTANDING, MOST_ANSWERING, PendingPut, Settled, Task},
};
use crate::{
    bus::Level,
    clock,
    domain::{
        faults::Fault,
        lanes::Lane,
        lookup::End,
        places::{Full, Place},
        record::{Announcement, Class, Presence, Record, Refusal},
        reputation::Outcome,
        shares::Origin,
    },
    metrics::TurnedAway,
};

/// Addresses of a peer that the routing table is told.
const MAX_ROUTED: usize = 8;

impl Task {
    pub fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let now = clock::now();
        self.measures.families.record(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.peers.connected(
                    peer_id,
                    connection_id,
                    endpoint.get_remote_address(),
                    endpoint.is_dialer(),
                    now,
                );
                self.discovery.connected(&peer_id);
                self.identities.met(&peer_id);
                self.wiring.callers.set(self.peers.caller(peer_id, now));
                if let Some(sheet) = self.penalties.ledger().sheet(&peer_id) {
                    self.peers.set_sheet(peer_id, Some(sheet.clone()), now);
                }
                if endpoint.is_dialer() {
                    self.measures.dialled(peer_id, None);
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                let was_ours = self.peers.is_ours(&peer_id);
                self.peers.disconnected(&peer_id, connection_id, now);
                if was_ours && !self.peers.is_connected(&peer_id) {
                    let dead = cause.as_ref().is_some_and(silence::is_dead);
                    if dead {
                        tracing::warn!(peer = %peer_id, "nothing comes from a peer any more: its connection was ended");
                    } else {
                        tracing::info!(peer = %peer_id, "a peer has left");
                    }
                    self.measures.moved(Move::Went {
                        peer: peer_id,
                        lost: cause.is_some(),
                        dead,
                    });
                }
            }
            SwarmEvent::OutgoingConnectionError {
                error: DialError::LocalPeerId { address },
                ..
            } => {
                self.identities
                    .answered(discovery::bare(&address), Instant::now());
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "dial failed");
                if let DialError::WrongPeerId { obtained, address } = &error
                    && self.discovery.is_bootstrap(&peer)
                    && !self.peers.is_connected(&peer)
                {
                    self.identities.misnamed(
                        peer,
                        *obtained,
                        discovery::bare(address),
                        Instant::now(),
                    );
                }
                // Our own limits and races are not the peer's fault.
                if matches!(
                    error,
                    DialError::Transport(_) | DialError::WrongPeerId { .. }
                ) && !self.peers.is_connected(&peer)
                {
                    self.measures.dialled(peer, Some(why(&error)));
                    // Where somebody else says that it is, it need not be.
                    if let DialError::Transport(tried) = &error
                        && tried.iter().any(|(at, _)| {
                            self.peers.lists(&peer, at) || self.discovery.names(&peer, at)
                        })
                    {
                        self.observe(peer, Outcome::Unreachable);
                    }
                }
            }
            SwarmEvent::IncomingConnectionError {
                error: ListenError::LocalPeerId { .. },
                send_back_addr,
                ..
            } => {
                self.identities.knocked(send_back_addr, Instant::now());
            }
            SwarmEvent::IncomingConnectionError { .. } => self.identities.broken(Instant::now()),
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "listening"),
            SwarmEvent::ListenerClosed {
                addresses,
                reason: Err(error),
                ..
            } => {
                let text = format!(
                    "listening on {addresses:?} ended: {error}; restart the node to listen there again"
                );
                tracing::error!("{text}");
                self.notice(Level::Error, text);
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match &event {
            BehaviourEvent::Identify(event) => self.measures.families.record(event),
            BehaviourEvent::Ping(event) => self.measures.families.record(event),
            BehaviourEvent::Kad(event) => self.measures.families.record(event),
            BehaviourEvent::Gossip(event) => self.measures.families.record(event),
            _ => {}
        }
        if let Some(peer) = sender_of(&event) {
            self.peers.is_there(&peer, clock::now(), Instant::now());
        }
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info)
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                result: Ok(rtt),
                ..
            }) => {
                self.ponged(peer, rtt);
            }
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Query(event) => self.on_query(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found))
            | BehaviourEvent::Mdns6(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.discovery
                        .add(peer, address, discovery::Origin::Mdns, Instant::now());
                }
            }
            BehaviourEvent::Reach(autonat::v1::Event::OutboundProbe(probe)) => {
                self.on_dial_back(&probe)
            }
            _ => {}
        }
    }

    /// Identify does not feed Kademlia, and says who is not of this network.
    fn on_identified(&mut self, peer: PeerId, info: identify::Info) {
        if !info.protocols.contains(&self.protocols.query) {
            tracing::debug!(%peer, agent = %info.agent_version, "speaks none of our protocols");
            self.discovery.is_stranger(peer);
            let _ = self.swarm.disconnect_peer_id(peer);
            self.peers.forget(&peer);
            return;
        }
        let known = self.peers.is_ours(&peer);
        // Loopback addresses of another machine are this machine's.
        let near = listen::is_loopback(&info.observed_addr);
        let usable = |address: &Multiaddr| {
            (near || !listen::is_loopback(address))
                && !listen::is_link_local(address)
                && listen::peer_of(address).is_none_or(|named| named == peer)
        };
        let addresses: Vec<Multiaddr> = info
            .listen_addrs
            .into_iter()
            .filter(usable)
            .take(MAX_ROUTED)
            .collect();
        if info.protocols.contains(&self.protocols.kad) {
            self.route(peer, &addresses);
        }
        let protocols = info.protocols.iter().map(ToString::to_string).collect();
        self.peers.identified(
            peer,
            &info.agent_version,
            addresses,
            protocols,
            clock::now(),
        );
        if !known {
            tracing::info!(%peer, agent = %info.agent_version, "a peer has joined");
            self.measures.moved(Move::Came);
        }
        if !known && self.peers.is_outbound(&peer) {
            self.say_hello(peer);
        }
        let joined = self.peers.ours().count();
        self.wiring
            .joined
            .send_if_modified(|told| std::mem::replace(told, joined) != joined);
    }

    fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::InboundRequest {
                request:
                    kad::InboundRequest::PutRecord {
                        source,
                        record: Some(record),
                        ..
                    },
            } => {
                if !self.allowed(source, Lane::Stored) {
                    return self.wiring.tally.refused(Refusal::OverQuota);
                }
                let (verdict, receiver) = oneshot::channel();
                let (key, value) = (record.key.to_vec(), record.value);
                let asked = Inbound::Put {
                    key,
                    value,
                    from: source,
                    verdict,
                };
                if self.hand_over(asked) {
                    self.settled.push(Box::pin(async move {
                        let outcome = receiver.await.unwrap_or(Err(Refusal::Busy)).map(Box::new);
                        Settled::Put {
                            from: source,
                            outcome,
                        }
                    }));
                }
            }
            kad::Event::InboundRequest {
                request:
                    kad::InboundRequest::AddProvider {
                        record: Some(record),
                    },
            } => {
                if !self.allowed(record.provider, Lane::Claimed) {
                    return self.wiring.tally.refused(Refusal::OverQuota);
                }
                let prefix = self.peers.group(&record.provider);
                let taken = self
                    .swarm
                    .behaviour_mut()
                    .kad
                    .store_mut()
                    .claim(record, prefix);
                taken.unwrap_or_else(|refusal| self.wiring.tally.refused(refusal));
            }
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                stats,
                step,
            } => {
                self.lookups.asked(&id, stats.num_requests() as usize);
                self.on_looked(id, &result, step.last);
                match result {
                    kad::QueryResult::GetRecord(result) => self.on_found(id, result, step.last),
                    kad::QueryResult::PutRecord(result) => self.on_put(id, result),
                    kad::QueryResult::GetProviders(result) => {
                        self.on_providers(id, &result, step.last)
                    }
                    kad::QueryResult::Bootstrap(Ok(_)) if step.last => self.measures.refreshed(),
                    kad::QueryResult::StartProviding(_) => drop(self.providing.remove(&id)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Providers are dialled while the query runs, because until then Kademlia knows the addresses
    /// they gave.
    fn on_providers(&mut self, id: kad::QueryId, result: &kad::GetProvidersResult, last: bool) {
        let me = *self.swarm.local_peer_id();
        for peer in self.findings.progress(id, result, last) {
            if peer != me && !self.peers.is_connected(&peer) {
                let dial = DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .build();
                if let Err(error) = self.swarm.dial(dial) {
                    tracing::debug!(%peer, %error, "a provider was not dialled");
                }
            }
        }
    }

    /// What `get_record` returns is anybody's bytes: Kademlia does not validate them.
    fn on_found(&mut self, id: kad::QueryId, result: kad::GetRecordResult, last: bool) {
        let mut ended = Ended::Exhausted;
        match result {
            Ok(kad::GetRecordOk::FoundRecord(kad::PeerRecord { peer, record })) => {
                if let Some(key) = self.lookups.key(&id) {
                    match Record::verify(&key, &record.value) {
                        Ok(record) => {
                            if let Some(peer) = peer {
                                self.observe(peer, Outcome::AnswerRight);
                            }
                            if let Some(done) = self.lookups.answer(&id, Answer { peer, record }) {
                                self.looked_up(done);
                                self.stop(&id, End::Enough);
                            }
                        }
                        Err(refusal) => {
                            self.wiring.tally.refused(refusal);
                            self.swarm
                                .behaviour_mut()
                                .kad
                                .traces
                                .wrong(&id, peer.as_ref());
                            if let Some(peer) = peer.filter(|_| refusal.class() == Class::Reject) {
                                let proven = refusal.is_proven();
                                self.observe(
                                    peer,
                                    if proven {
                                        Outcome::RecordInvalid
                                    } else {
                                        Outcome::AnswerWrong
                                    },
                                );
                            }
                        }
                    }
                }
            }
            // Closest to the key of all that were asked, and without what others had.
            Ok(kad::GetRecordOk::FinishedWithNoAdditionalRecord { cache_candidates }) => {
                for peer in cache_candidates.into_values() {
                    self.observe(peer, Outcome::AnswerMissing);
                }
            }
            Err(kad::GetRecordError::Timeout { .. }) => ended = Ended::TimedOut,
            Err(kad::GetRecordError::NotFound { .. }) => {}
        }
        if last && let Some(done) = self.lookups.end(&id, ended) {
            self.looked_up(done);
        }
    }

    pub fn looked_up(&mut self, done: Done) {
        self.wiring.tally.looked_up(done.found);
        self.measures.looked_up(done);
    }

    fn on_put(&mut self, id: kad::QueryId, result: kad::PutRecordResult) {
        let Some(PendingPut {
            reply: Some(reply), ..
        }) = self.puts.remove(&id)
        else {
            return;
        };
        let acknowledged = match result {
            Ok(_) => crate::net::swarm::task::PUT_QUORUM,
            Err(
                kad::PutRecordError::QuorumFailed { success, .. }
                | kad::PutRecordError::Timeout { success, .. },
            ) => success.len(),
        };
        let _ = reply.send(acknowledged);
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message {
            propagation_source: via,
            message_id: id,
            message,
        } = event
        else {
            return;
        };
        let now = clock::now();
        self.peers.traffic(&via, |traffic| {
            traffic.announcements_in += message.data.len() as u64
        });
        // What is too much ends here. Whoever passed it on may have had room for it, so that only
        // what somebody sends of its own is its fault.
        let known = self.is_known(&message);
        let has_room = match message.source {
            Some(author) if author != via => {
                let (via, author) = (self.sender(via), self.sender(author));
                self.lanes.relay(&via, &author, known, now)
            }
            _ => {
                let taken = self.allowed(via, Lane::Own);
                if !taken {
                    self.fault(via, Fault::Flooding);
                }
                taken
            }
        };
        if !has_room {
            return self.report(id, via, Err(Refusal::OverQuota));
        }
        if message.topic == self.topics.presence.hash() {
            let verdict = match (message.source, Presence::verify(&message.data, now)) {
                (Some(source), Ok(presence)) => {
                    if source != *self.swarm.local_peer_id() {
                        self.peers.presence(source, presence, now);
                    }
                    Ok(())
                }
                (None, _) => Err(Refusal::BadSignature),
                (_, Err(refusal)) => Err(refusal),
            };
            return self.report(id, via, verdict);
        }
        let (verdict, receiver) = oneshot::channel();
        let author = message.source;
        let has_room = self
            .waiting
            .has_room(via, author, known, self.wiring.inbound.capacity());
        if has_room
            && self.hand_over(Inbound::Announcement {
                data: message.data,
                via,
                author,
                verdict,
            })
        {
            self.waiting.begin(via, author);
            self.settled.push(Box::pin(async move {
                Settled::Message {
                    id,
                    via,
                    author,
                    verdict: receiver.await.unwrap_or(Err(Refusal::Busy)),
                }
            }));
        } else {
            self.report(id, via, Err(Refusal::Busy));
        }
    }

    /// Whether a message says that it is of a publisher that is known here, or is a known peer's
    /// own. If it is not, it does not verify, which costs whoever passed it on.
    fn is_known(&self, message: &gossipsub::Message) -> bool {
        if message.topic == self.topics.presence.hash() {
            return message
                .source
                .is_some_and(|author| self.wiring.callers.of(author).good);
        }
        let publisher = Announcement::claimed_publisher(&message.data);
        publisher.is_some_and(|publisher| self.wiring.known.borrow().contains(&publisher))
    }

    /// Gives something to the registry; false, and counted, when it has no room.
    fn hand_over(&mut self, inbound: Inbound) -> bool {
        let taken =
            self.settled.len() < MAX_OUTSTANDING && self.wiring.inbound.try_send(inbound).is_ok();
        if !taken {
            self.wiring.tally.overloaded();
        }
        taken
    }

    fn report(&mut self, id: gossipsub::MessageId, via: PeerId, verdict: Verdict) {
        use gossipsub::MessageAcceptance::{Accept, Ignore, Reject};
        self.measures.judged(
            verdict
                .as_ref()
                .is_err_and(|refusal| refusal.class() == Class::Reject),
        );
        let (acceptance, outcome) = match verdict {
            Ok(()) => (Accept, Outcome::RecordValid),
            Err(refusal) => {
                self.wiring.tally.refused(refusal);
                match refusal.class() {
                    Class::Reject => (Reject, Outcome::of_record(refusal)),
                    Class::Ignore => (Ignore, Outcome::RecordIgnored),
                }
            }
        };
        self.observe(via, outcome);
        self.swarm
            .behaviour_mut()
            .gossip
            .report_message_validation_result(&id, &via, acceptance);
    }

    pub fn on_settled(&mut self, settled: Settled) {
        match settled {
            Settled::Message {
                id,
                via,
                author,
                verdict,
            } => {
                self.waiting.end(via, author);
                self.report(id, via, verdict);
            }
            Settled::Put { from, outcome } => {
                let origin = Origin::of(from, self.peers.group(&from));
                let kept = outcome.and_then(|record| {
                    self.swarm
                        .behaviour_mut()
                        .kad
                        .store_mut()
                        .accept(&record, origin)
                });
                if let Err(refusal) = kept {
                    self.wiring.tally.refused(refusal);
                    if refusal.class() == Class::Reject {
                        self.observe(from, Outcome::of_record(refusal));
                    }
                }
            }
            Settled::Answer {
                peer,
                channel,
                place,
                answered: Answered { response, took },
            } => {
                self.questions.give_back(place);
                let sender = self.sender(peer);
                self.lanes.spend(
                    &sender,
                    Lane::Answering,
                    took.as_secs_f64() * 1_000.0,
                    clock::now(),
                );
                self.peers.traffic(&peer, |traffic| {
                    traffic.answers_out += response.payload() as u64
                });
                // Fails when the asker is gone.
                let _ = self
                    .swarm
                    .behaviour_mut()
                    .query
                    .send_response(channel, response);
            }
        }
    }

    fn on_query(&mut self, event: request_response::Event<Request, Response>) {
        use request_response::{Event, Message, OutboundFailure};
        match event {
            Event::Message {
                peer,
                connection_id,
                message:
                    Message::Request {
                        request, channel, ..
                    },
            } => {
                self.on_request((peer, connection_id), request, channel);
            }
            Event::Message {
                peer,
                connection_id,
                message:
                    Message::Response {
                        request_id,
                        response,
                    },
            } => {
                match response {
                    Response::Busy => self.ask_failed(&request_id, AskError::Busy),
                    Response::Refused => self.ask_failed(&request_id, AskError::Refused),
                    response => {
                        let Some(ask) = self.requests.answered(&request_id, Instant::now()) else {
                            return;
                        };
                        let is_slow = self.peers.answered(&peer, ask.took);
                        // A hello that is answered is no right answer either, with which a slow one
                        // could be weighed.
                        if is_slow && ask.reply.is_some() {
                            self.observe(peer, Outcome::AnswerSlow);
                        }
                        self.peers.traffic(&peer, |traffic| {
                            traffic.answers_in += response.payload() as u64
                        });
                        match (ask.reply, response) {
                            (Some(reply), response) => drop(reply.send(Ok(response))),
                            (None, Response::Hello(hello)) => {
                                self.on_hello(peer, &hello, connection_id);
                                self.peers.spoke(&peer);
                            }
                            (None, _) => self.observe(peer, Outcome::AnswerWrong),
                        }
                    }
                }
            }
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                let error = match error {
                    OutboundFailure::Timeout => AskError::TimedOut,
                    OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => {
                        AskError::Unreachable
                    }
                    OutboundFailure::UnsupportedProtocols => AskError::Refused,
                    // What does not decode, or is larger than an answer may be.
                    OutboundFailure::Io(error) => {
                        if error.kind() == std::io::ErrorKind::InvalidData {
                            self.wiring.tally.refused(Refusal::Malformed);
                            self.observe(peer, Outcome::AnswerWrong);
                        }
                        AskError::Refused
                    }
                };
                self.ask_failed(&request_id, error);
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(
        &mut self,
        (peer, by): (PeerId, ConnectionId),
        request: Request,
        channel: request_response::ResponseChannel<Response>,
    ) {
        let response = match &request {
            // Each has a claim to be verified.
            Request::Hello(_) if !self.allowed(peer, Lane::Greeted) => Some(Response::Busy),
            Request::Hello(hello) => {
                self.on_hello(peer, hello, by);
                Some(Response::Hello(self.hello(&peer)))
            }
            Request::Objects(hashes) if hashes.len() > MAX_OBJECTS => Some(Response::Refused),
            // Who never answers does not say that it is busy either.
            _ if self.acting == Conduct::Silent => None,
            _ => None,
        };
        if let Some(response) = response {
            let _ = self
                .swarm
                .behaviour_mut()
                .query
                .send_response(channel, response);
            return;
        }
        let Some((place, time)) = self.place_for_question(peer) else {
            let _ = self
                .swarm
                .behaviour_mut()
                .query
                .send_response(channel, Response::Busy);
            return;
        };
        let (reply, receiver) = oneshot::channel();
        let good = self.wiring.callers.of(peer).good;
        if self.hand_over(Inbound::Query {
            from: peer,
            request,
            time,
            good,
            reply,
        }) {
            let acting = self.acting;
            self.settled.push(Box::pin(async move {
                acting.think().await;
                let busy = || Answered {
                    response: Response::Busy,
                    took: Duration::ZERO,
                };
                let Answered { response, took } = receiver.await.unwrap_or_else(|_| busy());
                Settled::Answer {
                    peer,
                    channel,
                    place,
                    answered: Answered {
                        response: acting.twist(response),
                        took,
                    },
                }
            }));
        } else {
            self.questions.give_back(place);
            let _ = self
                .swarm
                .behaviour_mut()
                .query
                .send_response(channel, Response::Busy);
        }
    }

    /// A place for a question of a peer and the time that answering it may take, if there are both.
    fn place_for_question(&mut self, peer: PeerId) -> Option<(Place, Duration)> {
        let sender = self.sender(peer);
        let left = self.lanes.left(&sender, Lane::Answering, clock::now());
        if left < 1.0 {
            self.wiring.metrics.turned_away(TurnedAway::Time);
            return None;
        }
        match self.questions.take(sender.caller, Instant::now()) {
            Ok((place, _)) => Some((
                place,
                Duration::from_secs_f64(left / 1_000.0).min(MOST_ANSWERING),
            )),
            Err(full) => {
                self.wiring.metrics.turned_away(TurnedAway::Question);
                if full == Full::Peer && !self.allowed(peer, Lane::Asked) {
                    self.fault(peer, Fault::Flooding);
                }
                None
            }
        }
    }

    fn on_dial_back(&mut self, probe: &autonat::v1::OutboundProbeEvent) {
        tracing::debug!(?probe, "dial-back");
        let Some(mode) = reach::outcome(probe)
            .and_then(|(server, reached)| self.reach.dialled_back(server, reached))
        else {
            return;
        };
        if self.swarm.behaviour().kad.mode() != mode {
            tracing::info!(?mode, "dial-backs decided the DHT mode");
            self.swarm.behaviour_mut().kad.set_mode(Some(mode));
        }
    }
}

/// The peer from which an event came over the network, and which is there therefore.
fn sender_of(event: &BehaviourEvent) -> Option<PeerId> {
    match event {
        BehaviourEvent::Ping(ping::Event {
            peer,
            result: Ok(_),
            ..
        })
        | BehaviourEvent::Query(request_response::Event::Message { peer, .. })
        | BehaviourEvent::Identify(identify::Event::Received { peer_id: peer, .. })
        | BehaviourEvent::Gossip(gossipsub::Event::Message {
            propagation_source: peer,
            ..
        })
        | BehaviourEvent::Kad(kad::Event::InboundRequest {
            request: kad::InboundRequest::PutRecord { source: peer, .. },
        }) => Some(*peer),
        _ => None,
    }
}

/// Why a dial failed, in a word or two.
fn why(error: &DialError) -> &'static str {
    let DialError::Transport(tried) = error else {
        return "another identity";
    };
    let kind = tried.iter().find_map(|(_, error)| match error {
        TransportError::Other(error) => Some(error.kind()),
        TransportError::MultiaddrNotSupported(_) => None,
    });
    match kind {
        Some(ErrorKind::ConnectionRefused) => "refused",
        Some(ErrorKind::TimedOut) => "timed out",
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => "no route",
        // libp2p wraps most of what the system says.
        Some(_) if error.to_string().to_lowercase().contains("refused") => "refused",
        Some(_) if error.to_string().to_lowercase().contains("timeout") => "timed out",
        Some(_) => "failed",
        None => "not supported",
    }
}
