//! Alerts: rules over events, what accounts are known for, and how many messages are sent.
//!
//! Events come in by two ways. Attempts that strangers can make are counted when flood control is asked about them, before it decides
//! whether they are stored ([`Alerts::attempt`]). Everything else is read from the entries that are recorded ([`Alerts::recorded`]).
//! What came of them is taken by [`Alerts::tick`], which the caller does every second. So no message is sent while an event is handled.
//!
//! The numbers of keys are in tables of fixed size, and so is what is known of accounts. `audit-alert` never triggers a rule.

mod attempt;
mod engine;
mod host;
mod known;
mod limits;
pub mod notice;
mod privilege;
mod rules;
mod saved;
mod seen;
mod sentence;
mod tally;

pub use engine::{Alerts, Moment};
pub use host::Ticked;
pub use known::{Coordinates, Login, News, Trip};
pub use notice::{Notice, Texts};
pub use rules::{ALERT, BuiltIn, Key, RULES, Rule, SUCCESS, Settings, Trigger, is_urgent, listing, shown_period};
pub use saved::HistoryError;
pub use seen::Seen;
pub use sentence::{Alert, Origin, What};
