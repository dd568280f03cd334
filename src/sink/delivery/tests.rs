//! Tests of deliveries.

use uuid::Uuid;

use super::*;
use crate::journal::cursor::Cursor;
use crate::journal::tail::Tail;

fn place() -> Place {
    Cursor::open(&mut Tail::new(0, 0.0), None, Uuid::nil()).place().clone()
}

fn message(text: &str) -> Message {
    let text = Some(text.to_owned()).filter(|text| !text.is_empty());
    Message { id: text.clone(), text, kind: "t".to_owned(), place: place() }
}

fn list(texts: &[&str]) -> Vec<Message> {
    texts.iter().map(|text| message(text)).collect()
}

/// Sends what is next, as the bytes of lines.
fn send(delivery: &mut Delivery, now: f64) -> String {
    let Step::Send(count) = delivery.step(now) else { return format!("{:?}", delivery.step(now)) };
    String::from_utf8(delivery.body(count, Framing::Newline, None)).unwrap()
}

#[test]
fn a_batch_is_sent_once_and_then_the_next_one() {
    let mut delivery = Delivery::new(2, Certainty::Answer);
    assert_eq!(delivery.step(0.0), Step::More);
    assert_eq!(delivery.offer(7, list(&["a", "b", "c"])), None);
    assert_eq!(send(&mut delivery, 0.0), "a\nb\n");
    assert_eq!(delivery.step(0.0), Step::Answer);
    assert_eq!(delivery.accepted(None, 0.0).len(), 1);
    assert_eq!(send(&mut delivery, 0.0), "c\n");
    assert_eq!(delivery.accepted(None, 0.0)[0].0, 7);
    assert_eq!((delivery.step(0.0), delivery.delivered), (Step::More, 3));
}

#[test]
fn entries_that_are_not_wanted_are_done_with_the_one_before_them() {
    let mut delivery = Delivery::new(9, Certainty::Answer);
    assert!(delivery.offer(0, list(&["", ""])).is_some(), "nothing is to be sent");
    assert_eq!(delivery.offer(0, list(&["", "a", ""])), None);
    assert_eq!(send(&mut delivery, 0.0), "a\n");
    assert_eq!((delivery.accepted(None, 0.0).len(), delivery.delivered), (1, 1));
}

#[test]
fn a_body_is_small_unless_one_entry_is_not() {
    for (length, count) in [(2 * BODY, 1), (BODY / 2 + 1, 1), (BODY / 3, 3)] {
        let mut delivery = Delivery::new(9, Certainty::Answer);
        let text = "x".repeat(length);
        delivery.offer(0, list(&[&text, &text, &text, &text]));
        assert_eq!(delivery.step(0.0), Step::Send(count));
    }
}

#[test]
fn a_refused_batch_is_split_until_the_entry_is_found() {
    let mut delivery = Delivery::new(8, Certainty::Answer);
    delivery.offer(0, list(&["a", "b", "bad", "c", "d", "e", "f", "g", "h"]));
    let (mut accepted, mut refused, mut requests) = (String::new(), Vec::new(), 0);
    while delivery.step(0.0) != Step::More {
        let body = send(&mut delivery, 0.0);
        requests += 1;
        if body.contains("bad") {
            refused.extend(delivery.refused(false).and_then(|(_, message)| message.id));
        } else {
            accepted += &body;
            delivery.accepted(None, 0.0);
        }
    }
    assert_eq!((accepted.as_str(), refused, delivery.refused), ("a\nb\nc\nd\ne\nf\ng\nh\n", vec!["bad".to_owned()], 1));
    assert!(requests <= 9, "{requests}");
}

#[test]
fn pauses_grow_until_it_works_and_the_receiver_may_ask_for_more() {
    let mut delivery = Delivery::new(8, Certainty::Answer);
    delivery.offer(0, list(&["a"]));
    let mut now = 0.0;
    for pause in [1.0, 2.0, 4.0] {
        assert_eq!(send(&mut delivery, now), "a\n");
        delivery.failed("no", None, now);
        assert_eq!(delivery.step(now), Step::Wait(pause));
        now += pause;
    }
    assert_eq!(send(&mut delivery, now), "a\n");
    delivery.failed("busy", Some(120.0), now);
    assert_eq!((delivery.step(now), delivery.trouble()), (Step::Wait(120.0), Some("busy")));
    now += 120.0;
    assert_eq!(send(&mut delivery, now), "a\n");
    delivery.accepted(None, now);
    assert_eq!((delivery.trouble(), delivery.errors), (None, 4));
}

#[test]
fn trouble_is_told_once_when_it_begins_and_once_when_it_ends() {
    let mut delivery = Delivery::new(8, Certainty::Answer);
    delivery.offer(0, list(&["a"]));
    assert_eq!(delivery.news(), None);
    for now in [0.0, 10.0] {
        send(&mut delivery, now);
        delivery.failed("no", None, now);
        let news = delivery.news();
        assert_eq!(news, if now == 0.0 { Some(Some("no".to_owned())) } else { None });
    }
    send(&mut delivery, 20.0);
    delivery.accepted(None, 20.0);
    assert_eq!((delivery.news(), delivery.news()), (Some(None), None));
}

#[test]
fn what_was_sent_on_a_stream_is_certain_after_a_while_or_many_more_bytes() {
    let mut delivery = Delivery::new(8, Certainty::Time);
    delivery.offer(0, list(&["a"]));
    send(&mut delivery, 0.0);
    assert_eq!(delivery.accepted(None, 0.0), []);
    assert!(delivery.is_waiting_for(0) && delivery.tick(UNCERTAIN - 1.0).is_empty());
    // What is not wanted is done with what was sent before it.
    assert_eq!(delivery.offer(0, list(&[""])), None);
    assert_eq!(delivery.tick(UNCERTAIN).len(), 1);
    delivery.offer(0, list(&["b"]));
    send(&mut delivery, 400.0);
    delivery.accepted(None, 400.0);
    let mut places = 0;
    for _ in 0..17 {
        delivery.offer(0, list(&[&"x".repeat(1 << 20)]));
        send(&mut delivery, 401.0);
        places += delivery.accepted(None, 401.0).len();
    }
    assert!((1..=2).contains(&places), "{places}");
}

#[test]
fn a_broken_stream_begins_again_and_a_flapping_one_gets_longer_pauses() {
    let mut delivery = Delivery::new(8, Certainty::Time);
    let mut now = 0.0;
    for pause in [1.0, 2.0, 4.0] {
        delivery.offer(0, list(&["a"]));
        send(&mut delivery, now);
        delivery.accepted(None, now);
        delivery.broken("closed", now + 1.0);
        assert_eq!(delivery.step(now + 1.0), Step::Wait(pause));
        now += 1.0 + pause;
    }
    assert_eq!(delivery.step(now), Step::More);
    delivery.offer(0, list(&["a"]));
    send(&mut delivery, now);
    delivery.accepted(None, now);
    assert!(delivery.trouble().is_some() && delivery.finish().is_empty());
    delivery.tick(now + STABLE);
    assert_eq!(delivery.trouble(), None);
    delivery.broken("closed", now + 6.0);
    assert_eq!(delivery.step(now + 6.0), Step::Wait(1.0));
}

#[test]
fn an_end_in_order_is_certain() {
    let mut delivery = Delivery::new(8, Certainty::Time);
    delivery.offer(3, list(&["a"]));
    send(&mut delivery, 0.0);
    delivery.accepted(None, 0.0);
    assert_eq!(delivery.finish().len(), 1);
}

#[test]
fn a_receiver_of_datagrams_may_take_some_of_a_batch() {
    let mut delivery = Delivery::new(8, Certainty::Answer);
    delivery.offer(0, list(&["a", "b", "c"]));
    let Step::Send(count) = delivery.step(0.0) else { panic!() };
    assert_eq!(delivery.texts(count), ["a", "b", "c"]);
    assert_eq!(delivery.accepted(Some(2), 0.0).len(), 1);
    delivery.pause(0.0, 0.1);
    assert_eq!(delivery.step(0.0), Step::Wait(0.1));
    assert_eq!(send(&mut delivery, 0.1), "c\n");
    delivery.accepted(Some(0), 0.1);
    assert_eq!(delivery.refused(true).unwrap().1.id.as_deref(), Some("c"));
    assert_eq!(delivery.step(0.1), Step::More);
}
