//! Messages in the status row: the answer to the user's last action first, then notices of the
//! node.

use std::{collections::VecDeque, time::Duration};

use crate::{bus::Notice, domain::time::Timestamp};

/// Time that a notice is shown.
const SHOWN: Duration = Duration::from_secs(12);
/// Time that a notice is shown if others are waiting.
const SHOWN_WITH_OTHERS: Duration = Duration::from_secs(3);
/// Least time that an answer is shown, whatever keys are pressed.
const READ: Duration = Duration::from_secs(2);
/// Most notices waiting.
const MOST: usize = 16;

#[derive(Debug, Default)]
pub struct NoticeQueue {
    /// The answer to the user's last action, and when it was given.
    answer: Option<(Notice, Timestamp)>,
    /// Notices of the node in order of arrival, and the time since when the first is shown.
    queue: VecDeque<Notice>,
    since: Option<Timestamp>,
}

impl NoticeQueue {
    /// Shows an answer at once, in place of an earlier one.
    pub fn answer(&mut self, notice: Notice, now: Timestamp) {
        self.answer = Some((notice, now));
        // The notice that it covers gets its full time afterwards.
        self.since = None;
    }

    /// Queues a notice.
    pub fn push(&mut self, notice: Notice, now: Timestamp) {
        if self.queue.len() >= MOST {
            self.queue.pop_front();
            self.since = None;
        }
        self.queue.push_back(notice);
        self.pass(now);
    }

    /// Clears an answer that has been shown long enough, because the user pressed another key.
    pub fn dismiss_answer(&mut self, now: Timestamp) {
        if self
            .answer
            .as_ref()
            .is_some_and(|(_, since)| now.since(*since) >= READ)
        {
            self.answer = None;
            self.pass(now);
        }
    }

    /// Clears an answer that is no longer true.
    pub fn forget_answer(&mut self) {
        self.answer = None;
    }

    /// Moves on to the next notice when its time has come.
    pub fn pass(&mut self, now: Timestamp) {
        if let Some((_, since)) = &self.answer {
            if now.since(*since) < SHOWN {
                return;
            }
            self.answer = None;
        }
        let time = if self.queue.len() > 1 {
            SHOWN_WITH_OTHERS
        } else {
            SHOWN
        };
        match self.since {
            Some(since) if now.since(since) < time => return,
            Some(_) => drop(self.queue.pop_front()),
            None => {}
        }
        self.since = (!self.queue.is_empty()).then_some(now);
    }

    pub fn shown(&self) -> Option<&Notice> {
        match &self.answer {
            Some((notice, _)) => Some(notice),
            None => self.queue.front(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Level;

    fn notice(text: &str) -> Notice {
        Notice {
            at: Timestamp(0),
            level: Level::Info,
            text: text.to_owned(),
        }
    }

    fn shown(notices: &NoticeQueue) -> Option<&str> {
        notices.shown().map(|notice| notice.text.as_str())
    }

    #[test]
    fn an_answer_comes_at_once_and_the_rest_waits_for_it() {
        let mut notices = NoticeQueue::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        notices.push(notice("queued"), at(0));
        notices.answer(notice("first"), at(1));
        notices.answer(notice("second"), at(1));
        assert_eq!(shown(&notices), Some("second"));
        notices.dismiss_answer(at(2));
        assert_eq!(shown(&notices), Some("second"), "nobody reads that fast");
        notices.dismiss_answer(at(3));
        assert_eq!(shown(&notices), Some("queued"));
        notices.pass(at(14));
        assert_eq!(
            shown(&notices),
            Some("queued"),
            "its time begins when it is seen"
        );
        notices.pass(at(15));
        assert_eq!(shown(&notices), None);
        notices.answer(notice("third"), at(20));
        notices.pass(at(32));
        assert_eq!(shown(&notices), None);
    }

    #[test]
    fn what_waits_makes_room_sooner_and_is_bounded() {
        let mut notices = NoticeQueue::default();
        for number in 0..MOST + 3 {
            notices.push(notice(&number.to_string()), Timestamp(0));
        }
        assert_eq!(shown(&notices), Some("3"));
        for second in 1..=3 {
            notices.pass(Timestamp(second * 1_000));
        }
        assert_eq!(shown(&notices), Some("4"));
    }
}
