//! The task's side of requests: those that this node sends, and those that peers send.

use std::time::{Duration, Instant};

use libp2p::{
    PeerId,
    request_response::{self, OutboundRequestId, ResponseChannel},
    swarm::ConnectionId,
};
use tokio::sync::oneshot;

use super::{
    command::{AskError, QueryReply},
    task::{Settled, Task},
};
use crate::{
    domain::{places::SlotId, record::Refusal, reputation::Outcome},
    net::{
        Inbound,
        peers::identity::Start,
        query::{
            answering::AnswerAction,
            protocol::{Hello, Request, Response},
        },
    },
};

impl Task {
    pub fn on_query(&mut self, event: request_response::Event<Request, Response>) {
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
                        // An answer to a hello is no useful answer that a slow one should be held
                        // against.
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
                    // An answer that does not decode or is too large.
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
        channel: ResponseChannel<Response>,
    ) {
        let sender = self.sender(peer);
        let now = (self.clock.now(), Instant::now());
        let orders = self.answering.on(&request, &sender, &mut self.lanes, now);
        let mut asked = Some((request, channel));
        for order in orders {
            match order {
                AnswerAction::Greet => {
                    let Some((Request::Hello(hello), channel)) = asked.take() else {
                        continue;
                    };
                    self.on_hello(peer, &hello, by);
                    let hello = self.hello(&peer);
                    self.respond(channel, Response::Hello(hello));
                }
                AnswerAction::Reply(response) => {
                    if let Some((_, channel)) = asked.take() {
                        self.respond(channel, response);
                    }
                }
                AnswerAction::HandOver(place, time) => {
                    if let Some(asked) = asked.take() {
                        self.hand_over_question(peer, asked, (place, time));
                    }
                }
                AnswerAction::TurnedAway(why) => self.wiring.metrics.turned_away(why),
                AnswerAction::Fault(fault) => self.fault(peer, fault),
            }
        }
    }

    fn hand_over_question(
        &mut self,
        peer: PeerId,
        (request, channel): (Request, ResponseChannel<Response>),
        (place, time): (SlotId, Duration),
    ) {
        let (reply, receiver) = oneshot::channel();
        let good = self.wiring.callers.of(peer).good;
        let question = Inbound::Query {
            from: peer,
            request,
            time,
            good,
            reply,
        };
        if !self.hand_over(question) {
            self.answering.turned_away(place);
            return self.respond(channel, Response::Busy);
        }
        let acting = self.acting;
        self.settled.push(Box::pin(async move {
            acting.think().await;
            let QueryReply { response, took } = receiver.await.unwrap_or(QueryReply {
                response: Response::Busy,
                took: Duration::ZERO,
            });
            Settled::Answer {
                peer,
                channel,
                place,
                answered: QueryReply {
                    response: acting.twist(response),
                    took,
                },
            }
        }));
    }

    /// Sends the registry's answer to a peer's query.
    pub fn answer(
        &mut self,
        peer: PeerId,
        channel: ResponseChannel<Response>,
        place: SlotId,
        QueryReply { response, took }: QueryReply,
    ) {
        let (sender, now) = (self.sender(peer), self.clock.now());
        self.answering
            .answered(place, &sender, took, &mut self.lanes, now);
        self.peers.traffic(&peer, |traffic| {
            traffic.answers_out += response.payload() as u64
        });
        self.respond(channel, response);
    }

    fn respond(&mut self, channel: ResponseChannel<Response>, response: Response) {
        // It fails if the peer is gone.
        let query = &mut self.swarm.behaviour_mut().query;
        let _ = query.send_response(channel, response);
    }

    pub fn ask_failed(&mut self, id: &OutboundRequestId, error: AskError) {
        let Some(failed) = self.requests.failed(id, error, Instant::now()) else {
            return;
        };
        if let Some(took) = failed.took_over {
            self.peers.answered(&failed.peer, took);
        }
        if let Some(outcome) = failed.outcome {
            self.observe(failed.peer, outcome);
        }
    }

    pub fn hello(&self, to: &PeerId) -> Hello {
        let greeting = self.wiring.greeting.borrow();
        Hello {
            at: self.clock.now(),
            packages: greeting.packages,
            claim: greeting.claim.clone(),
            location: self.peers.bearings.here.clone(),
            room: greeting.room,
            start: self.start,
            twins: self.peers.are_two(to, Instant::now()),
        }
    }

    /// Handles what a peer says about itself and this node in a hello.
    pub fn on_hello(&mut self, peer: PeerId, hello: &Hello, by: ConnectionId) {
        let at = Instant::now();
        let were_two = self.peers.are_two(&peer, at);
        match self.peers.hello(peer, hello, (self.clock.now(), at)) {
            Start::Known => {}
            // A peer that lost its power closed nothing, so its older connections are dead.
            Start::Restarted if !were_two => {
                for old in self.peers.other_connections(&peer, by) {
                    tracing::debug!(%peer, %old, "a peer restarted: an older connection is closed");
                    self.swarm.close_connection(old);
                }
            }
            Start::Twins if !were_two => {
                tracing::warn!(%peer, "two nodes have one key: a data directory was copied, and both copies run");
            }
            Start::Restarted | Start::Twins => {}
        }
        if hello.twins {
            self.identities.told(&peer, at);
        }
    }

    pub fn say_hello(&mut self, peer: PeerId) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let hello = Request::Hello(self.hello(&peer));
        let id = self.swarm.behaviour_mut().query.send_request(&peer, hello);
        let now = Instant::now();
        self.requests.sent(id, peer, None, now + PATIENCE, now);
    }
}
