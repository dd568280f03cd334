//! Takes an event from Lua and writes its entry to the journal. An event is passed in a few calls with plain values, because that takes
//! a tenth of the time of making tables that Lua's garbage collector must free. Nothing of the event stays in Lua.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::BString;
use mlua::prelude::*;

use crate::entry::details::Details;
use crate::entry::text::{TextKind, clean};
use crate::lua::functions::Functions;
use crate::lua::hand_over::parts::Opened;
use crate::lua::hand_over::{Kept, Owned, outcome};
use crate::lua::value::Host;
use crate::recorder::Recorder;
use crate::recorder::entries::{Event, EventActor, Session, Time};

/// Flags of an event, as bits of one number.
const HAS_SESSION: u8 = 1;
/// Flood control must not be asked.
const IS_ADMITTED: u8 = 2;
/// The caller keeps an entry that is refused.
const IS_KEPT: u8 = 4;
/// It was done by an administrator, so that flood control must not be asked.
const ADMINISTERS: u8 = 8;

/// The names of all flags, for Lua.
pub(crate) const BITS: [(&str, u8); 4] =
    [("has_session", HAS_SESSION), ("is_admitted", IS_ADMITTED), ("is_kept", IS_KEPT), ("administers", ADMINISTERS)];

/// Bytes from Lua. Copying them takes half as long as keeping a reference to the string.
type Bytes = Option<BString>;

/// The event that is being passed.
#[derive(Default)]
struct Incoming {
    details: Details,
    actor: Option<[Bytes; 4]>,
    payload: Vec<u8>,
    /// The journals that were opened last, with their hosts.
    journals: Vec<(String, Rc<RefCell<Kept>>)>,
}

impl Incoming {
    fn forget(&mut self) {
        self.details.clear();
        self.actor = None;
    }
}

/// Adds the functions. Functions that describe an event must be called before record(), which forgets the description.
pub(crate) fn add(functions: &Functions<'_>, opened: &Opened) -> LuaResult<()> {
    let lua = functions.lua();
    let incoming = Rc::new(RefCell::new(Incoming::default()));

    // forget(): forgets the description of an event that could not be recorded
    let state = Rc::clone(&incoming);
    let forget = lua.create_function(move |_, ()| {
        state.borrow_mut().forget();
        Ok(())
    })?;
    functions.set("forget_event", forget)?;

    // element(name, whether more follows, text | nil, attributes) -> whether there was room for it. If more follows, close() must be
    // called at its end.
    let state = Rc::clone(&incoming);
    let element = lua.create_function(move |_, (name, goes_on, text, attributes): (BString, bool, Option<LuaString>, LuaTable)| {
        let details = &mut state.borrow_mut().details;
        let has_room = details.open(&name);
        attributes.for_each(|name: BString, value: BString| {
            details.attribute(&name, &value);
            Ok(())
        })?;
        if let Some(text) = text {
            details.text(&text.as_bytes());
        }
        if !goes_on {
            details.close();
        }
        Ok(has_room)
    })?;
    functions.set("element", element)?;
    // text(text) -> whether there was room for it
    let state = Rc::clone(&incoming);
    let text = lua.create_function(move |_, text: LuaString| {
        let details = &mut state.borrow_mut().details;
        let has_room = details.has_room();
        details.text(&text.as_bytes());
        Ok(has_room)
    })?;
    functions.set("text", text)?;
    let state = Rc::clone(&incoming);
    let close = lua.create_function(move |_, ()| {
        state.borrow_mut().details.close();
        Ok(())
    })?;
    functions.set("close", close)?;
    // actor(kind | nil, jid | nil, ip | nil, caused_by | nil)
    let state = Rc::clone(&incoming);
    let actor = lua.create_function(move |_, (kind, jid, ip, caused_by): (Bytes, Bytes, Bytes, Bytes)| {
        state.borrow_mut().actor = Some([kind, jid, ip, caused_by]);
        Ok(())
    })?;
    functions.set("actor", actor)?;

    // record(host, user, source, event type, id, type, ip and client of the session, time, clock of flood control, timestamp | nil,
    // bits, number of the journal to which it is appended at once | nil)
    //   -> id | nil, what became of it, sequence, whether there are warnings, whether something is amiss in the journal
    type EntryArguments = (BString, Bytes, BString, BString, Bytes, Bytes, Bytes, Bytes, f64, f64, Option<f64>, u8, Option<usize>);
    let (state, recorder) = (Rc::clone(&incoming), functions.recorder());
    let record = lua.create_function(move |_, event: EntryArguments| {
        let (host, user, source, kind, id, session_kind, ip, client, at, clock, timestamp, bits, journal) = event;
        let (mut incoming, mut recorder) = (state.borrow_mut(), recorder.borrow_mut());
        let host = std::str::from_utf8(&host).unwrap_or_default();
        let Incoming { details, actor, payload, journals } = &mut *incoming;
        let session = Session { id: slice(&id), kind: slice(&session_kind), ip: slice(&ip), client: slice(&client) };
        let event = Event {
            user: slice(&user),
            source: Some(&source),
            kind: Some(&kind),
            session: (bits & HAS_SESSION != 0).then_some(session),
            actor: actor.as_ref().map(|[kind, jid, ip, caused_by]| EventActor {
                kind: slice(kind),
                jid: slice(jid),
                ip: slice(ip),
                caused_by: slice(caused_by),
            }),
            timestamp,
        };
        let asks = bits & (IS_ADMITTED | ADMINISTERS) == 0;
        let Some(id) = recorder.entry(host, &event, details, Time { at, now: clock }, asks, payload) else {
            incoming.forget();
            return Ok((None, outcome::COUNTED, 0, false, false));
        };
        let mut journal = journal.and_then(|number| journals.get(number)).map(|(_, journal)| journal.borrow_mut());
        let kind = clean(event.kind(), TextKind::Attribute);
        let (became, sequence, is_amiss) = match journal.as_mut().filter(|journal| journal.is_open()) {
            None => {
                // It goes to the store, which may yield: the next entry must follow this one.
                if let Some(linked) = recorder.link(host, kind.as_bytes(), payload) {
                    recorder.advance(host, &linked);
                }
                (outcome::MADE, 0, false)
            }
            Some(journal) => append(&mut recorder, host, journal, payload, &kind, at, bits & IS_KEPT != 0),
        };
        drop(journal);
        incoming.forget();
        let id = (became != outcome::REFUSED).then_some(id);
        Ok((id, became, sequence, recorder.is_warned(), is_amiss))
    })?;
    functions.set("record", record)?;
    // append(host, journal, payload, event type, time, whether the caller keeps a refused entry) -> the result (native.outcomes),
    // sequence, whether look() must be called, as the files are not as they should be. A refused entry is counted as lost, unless the
    // caller keeps it.
    type AppendArguments = (Host, LuaUserDataRef<Owned>, LuaString, LuaString, f64, Option<bool>);
    let recorder = functions.recorder();
    let append = lua.create_function(move |_, (Host(host), journal, payload, kind, at, is_kept): AppendArguments| {
        let (kept, mut payload) = (journal.share(), payload.as_bytes().to_vec());
        let mut kept = kept.borrow_mut();
        if !kept.is_open() {
            return Err(LuaError::runtime("the journal is closed"));
        }
        let (kind, is_kept) = (kind.to_string_lossy(), is_kept.unwrap_or(false));
        Ok(append(&mut recorder.borrow_mut(), &host, &mut kept, &mut payload, &kind, at, is_kept))
    })?;
    functions.set("append", append)?;
    // link(host, payload, event type) -> the payload with its link, as it goes to the store directly
    functions.set("link", {
        let recorder = functions.recorder();
        lua.create_function(move |lua, (Host(host), payload, kind): (Host, LuaString, LuaString)| {
            let (mut linking, mut recorder) = (payload.as_bytes().to_vec(), recorder.borrow_mut());
            let Some(linked) = recorder.link(&host, kind.to_string_lossy().as_bytes(), &mut linking) else { return Ok(payload) };
            recorder.advance(&host, &linked);
            lua.create_string(&linking)
        })?
    })?;
    // has_new_chain(host) -> whether a chain was begun that the journal does not know yet. Only the first call returns true.
    functions.add("has_new_chain", |recorder, Host(host): Host| recorder.take_new_chain(&host))?;
    // open_made(): opens what record() made last; payload() -> that
    let (state, reading) = (Rc::clone(&incoming), opened.clone());
    functions.set("open_made", lua.create_function(move |_, ()| Ok(reading.open(&state.borrow().payload)))?)?;
    let state = Rc::clone(&incoming);
    functions.set("payload", lua.create_function(move |lua, ()| lua.create_string(&state.borrow().payload))?)?;
    // session(host, id, type, ip, client) -> whether there are warnings: opens the element that describes it
    let (recorder, reading) = (functions.recorder(), opened.clone());
    let session = lua.create_function(move |_, (Host(host), id, kind, ip, client): (Host, Bytes, Bytes, Bytes, Bytes)| {
        let (mut recorder, mut payload) = (recorder.borrow_mut(), Vec::new());
        let session = Session { id: slice(&id), kind: slice(&kind), ip: slice(&ip), client: slice(&client) };
        recorder.session(&host, &session, &mut payload);
        reading.open(&payload);
        Ok(recorder.is_warned())
    })?;
    functions.set("session", session)?;
    // use_journal(host, journal) -> its number for record(), until the host has another one
    let (state, recorder) = (Rc::clone(&incoming), functions.recorder());
    let use_journal = lua.create_function(move |_, (Host(host), journal): (Host, LuaUserDataRef<Owned>)| {
        let journals = &mut state.borrow_mut().journals;
        journal.keep_links(recorder.borrow_mut().chains(&host));
        let number = journals.iter().position(|(of, _)| *of == host).unwrap_or(journals.len());
        match journals.get_mut(number) {
            Some((_, used)) => *used = journal.share(),
            None => journals.push((host, journal.share())),
        }
        Ok(number)
    })?;
    functions.set("use_journal", use_journal)?;
    Ok(())
}

/// Links an entry and appends it. It is as [`Kept::append`] says.
fn append(
    recorder: &mut Recorder,
    host: &str,
    journal: &mut Kept,
    payload: &mut Vec<u8>,
    kind: &str,
    at: f64,
    is_kept: bool,
) -> (u8, u64, bool) {
    let linked = recorder.link(host, kind.as_bytes(), payload);
    if recorder.take_new_chain(host) && journal.write_heads().is_err() {
        // The journal says why.
        recorder.keep_new_chain(host);
    }
    let appended = journal.append(payload, kind, at, is_kept);
    match (linked, appended.0) {
        (Some(_), outcome::REFUSED) => {}
        (None, outcome::REFUSED) => recorder.lose_link(host, payload),
        (Some(linked), outcome::VOLATILE) => recorder.advance_in_memory(host, &linked),
        (Some(linked), _) => recorder.advance(host, &linked),
        (None, _) => {}
    }
    appended
}

fn slice(bytes: &Bytes) -> Option<&[u8]> {
    bytes.as_deref().map(AsRef::as_ref)
}
