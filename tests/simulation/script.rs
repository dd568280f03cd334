//! What happens in a run: a configuration and a list of actions. A seed makes one. A failing script is made shorter and printed, so
//! every part of it is plain data, and every part of a script is a script.

use audit_core::file::Operation;

use crate::seed::Seed;

const DAY: f64 = 86_400.0;
/// Makes another seed of a seed.
const APART: u64 = 0xa5a5_5a5a_c3c3_3c3c;
const AWAY: u64 = 0x0f1e_2d3c_4b5a_6978;
const AGAIN: u64 = 0x3c2d_1e0f_8796_a5b4;

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub setup: Setup,
    pub actions: Vec<Action>,
}

/// What does not change in a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    pub driver: Driver,
    /// How many entries the driver takes for each archive user.
    pub quota: Option<usize>,
    /// The first of the configurations in `events.rs`.
    pub options: usize,
    /// The limits of the journal are so low that they are reached.
    pub is_small: bool,
    /// How many bytes of entries the journal keeps in memory too.
    pub recent: usize,
    /// How many entries the community's modules have left under archive user nil.
    pub old: u32,
    /// Whether entries are linked to each other.
    pub is_linked: bool,
    /// Whether the chains are sealed, if there are any.
    pub is_sealed: bool,
    /// Whether there are sinks and alerts.
    pub has_readers: bool,
    /// What the clock shows at the beginning, in UNIX seconds.
    pub began: f64,
}

/// How a storage driver works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Driver {
    /// Each entry for itself, in a list.
    Embedded,
    /// In transactions.
    Sql,
    /// Like the first, with entries of one second in an order of its own.
    Unordered,
    /// That of this library, with a real file.
    Native,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// A module reports an event, of the kind with this number, about an account with this number, from a network with this number.
    Event(usize, u32, u32),
    /// The same kind many times, about this many accounts from this many networks.
    Flood(usize, u32, u32, u32),
    /// Time passes.
    Pass(f64),
    /// The clock is set. Its difference from before, in seconds.
    Jump(f64),
    /// From now on the clock runs ahead by this many seconds in each.
    Drift(f64),
    /// The storage driver misbehaves in this many of the next calls.
    Store(Mood, u32),
    /// A copy of the store is made, as a backup.
    Backup,
    /// The store is replaced by the backup.
    Older,
    /// This many of the next operations of the disk fail.
    Fail(Operation, Errno, usize),
    /// Files can grow by this many more bytes.
    Room(usize),
    /// The disk works again.
    Heal,
    /// Somebody does this to one of the files, counted in the order of their names.
    Damage(Damage, u64),
    /// The process dies at the step with this number, counted from now.
    Crash(u32),
    /// The process ends in an orderly way, and starts again.
    Restart,
    /// The machine loses power, and is on again after these seconds. Files are written back up to then where the number has a bit.
    PowerCut(u64, f64),
    /// The process starts again with the configuration with this number.
    Options(usize),
    /// An operator, in another process (if set) or this one, prunes the log.
    Prune(bool),
    /// Somebody reads the log: another process (if set) or this one; oldest first (if set); something else happens between pages.
    Read(bool, bool, Between),
    /// Somebody looks what is new.
    Follow,
    /// The data of the account with this number are erased.
    Erase(u32),
    /// The receiver of the sink with this number answers so the next times.
    Receiver(usize, Reply, u32),
    /// The sink with this number is closed and opened again, as after a reload of the configuration.
    Reopen(usize),
}

/// What a storage driver does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    /// It refuses.
    Refuses,
    /// It raises an error; an entry that it was given may be stored nevertheless.
    Raises,
    /// It says that it has stored an entry, and has not.
    Forgets,
    /// It stores an entry, and says that it has not.
    Keeps,
    /// It commits, and the answer is lost.
    LosesAnswer,
    /// It takes a second for each call.
    IsSlow,
    /// It yields, and meanwhile events are reported.
    Yields,
}

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// It takes what comes, and says that it has not.
    Keeps,
    /// It says that it has taken what comes, and has not.
    Forgets,
    /// Its answer comes after a while.
    Late,
    /// It takes nothing now.
    Busy,
    /// It refuses what comes for good.
    Refuses,
    /// It dies, with what it has not written to its disk.
    Dies,
    /// It can't be reached.
    IsAway,
}

impl Mood {
    /// Whether a call fails that appends nothing.
    pub const fn fails(self) -> bool {
        matches!(self, Self::Refuses | Self::Raises)
    }
}

/// What an operation of the disk fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errno {
    Io,
    NoSpace,
    ReadOnly,
}

/// What somebody does to a file of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// Flips a bit.
    Flip,
    /// Cuts it.
    Truncate,
    /// Removes it.
    Remove,
    /// Puts another one in its place.
    Replace,
}

/// What happens between the pages of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Between {
    Nothing,
    /// An event is reported, and time passes, so that entries are handed over.
    Events,
    /// The log is pruned.
    Prune,
}

impl Script {
    pub fn of(first: u64) -> Self {
        let Self { setup, actions } = Self::plain(first);
        // Chosen apart, so that the rest of a seed's script is what it was.
        let mut apart = Seed::new(first ^ APART);
        let setup = Setup { is_sealed: apart.once_in(2), has_readers: apart.once_in(3), ..setup };
        let mut actions = with_more(actions, setup, &mut apart);
        let mut away = Seed::new(first ^ AWAY);
        if setup.has_readers && away.once_in(2) {
            let at = away.below(actions.len() as u64 + 1) as usize;
            actions.splice(at..at, absence(&mut away));
        }
        let mut again = Seed::new(first ^ AGAIN);
        if setup.has_readers {
            for _ in 0..again.pick(&[0, 1, 3]) {
                let at = again.below(actions.len() as u64 + 1) as usize;
                actions.insert(at, Action::Reopen(again.below(crate::sinks::SINKS as u64) as usize));
            }
        }
        Self { setup, actions }
    }

    /// The same without seals, sinks, alerts and erasures.
    fn plain(first: u64) -> Self {
        let mut seed = Seed::new(first);
        // Leap days, the ends of months and years, a moment before midnight, and a clock that begins in 1970.
        let began = seed.pick(&[1_795_521_600.0, 1_798_761_500.0, 1_835_395_100.0, 1_803_859_190.0, 1_835_481_600.0, 100.0]);
        let began = if began == 100.0 && !seed.once_in(4) { 1_795_521_600.0 } else { began };
        let setup = Setup {
            driver: seed.pick(&[Driver::Embedded, Driver::Embedded, Driver::Sql, Driver::Sql, Driver::Unordered]),
            quota: seed.pick(&[None, None, None, Some(150)]),
            options: seed.below(crate::events::CONFIGURATIONS) as usize,
            is_small: seed.once_in(3),
            recent: seed.pick(&[0, 0, 4000, 512 << 10]),
            old: seed.pick(&[0, 0, 0, 12, 700]),
            // Chosen apart, so that the rest of a seed's script is what it was.
            is_linked: !Seed::new(!first).once_in(4),
            is_sealed: false,
            has_readers: false,
            began,
        };
        let count = seed.pick(&[8, 20, 40, 60]);
        // In most runs only some kinds of bad luck are met, so that they are met together more often.
        let luck = seed.next();
        let mut actions = Vec::new();
        while actions.len() < count {
            if seed.once_in(25) { actions.extend(episode(&mut seed)) } else { actions.push(action(&mut seed, luck)) }
        }
        Self { setup, actions }
    }

    /// The same script, with the driver of this library, which has no quota, and with more crashes and power cuts.
    #[cfg(feature = "storage")]
    pub fn of_native(number: u64) -> Self {
        let Self { setup, actions } = Self::of(number);
        let mut seed = Seed::new(!number);
        let mut more = Vec::new();
        for action in actions {
            more.push(action);
            match seed.below(24) {
                0 | 1 => more.push(Action::PowerCut(seed.next(), 5.0)),
                2 => more.push(Action::Crash(seed.pick(&[0, 1, 2, 3, 5, 9]))),
                _ => {}
            }
        }
        Self { setup: Setup { driver: Driver::Native, quota: None, ..setup }, actions: more }
    }
}

/// Adds what is chosen apart: erasures, and what receivers do.
fn with_more(actions: Vec<Action>, setup: Setup, seed: &mut Seed) -> Vec<Action> {
    let has_erasures = seed.once_in(2);
    let mut more = Vec::new();
    for action in actions {
        more.push(action);
        match seed.below(24) {
            0 if has_erasures => more.push(Action::Erase(seed.below(4) as u32)),
            1 if has_erasures => more.push(Action::Event(crate::events::KINDS as usize, seed.below(4) as u32, 1)),
            2..=4 if setup.has_readers => {
                let reply = seed.pick(&[Reply::Keeps, Reply::Forgets, Reply::Late, Reply::Busy, Reply::Refuses, Reply::Dies]);
                more.push(Action::Receiver(seed.below(crate::sinks::SINKS as u64) as usize, reply, seed.pick(&[1, 2, 9, 100])));
            }
            _ => {}
        }
    }
    more
}

/// A receiver is away for longer than entries are kept, or than a limit lets them be, while more come than fit into memory.
fn absence(seed: &mut Seed) -> Vec<Action> {
    let number = seed.below(crate::sinks::SINKS as u64) as usize;
    let mut actions = vec![Action::Receiver(number, Reply::IsAway, u32::MAX)];
    for _ in 0..seed.pick(&[1, 1, 3]) {
        actions.push(Action::Flood(seed.pick(&[2, 4, 4]), seed.pick(&[120, 260, 400]), seed.pick(&[3, 200]), seed.pick(&[2, 100])));
        actions.push(Action::Pass(seed.pick(&[60.0, 3600.0, DAY])));
    }
    if seed.once_in(3) {
        actions.push(Action::Restart);
    }
    actions.push(Action::Pass(seed.pick(&[60.0, 3.0 * DAY, 12.0 * DAY, 12.0 * DAY, 33.0 * DAY])));
    actions.push(Action::Receiver(number, Reply::IsAway, 1));
    actions
}

/// Some things that belong together: a clock that is ahead for a while, a store that is away while the disk fills, a restart under load.
fn episode(seed: &mut Seed) -> Vec<Action> {
    let flood = Action::Flood(4, 260, 3, 2);
    match seed.below(3) {
        0 => {
            let ahead = seed.pick(&[3.0, 40.0]) * DAY;
            let wait = seed.pick(&[60.0, 3600.0, DAY]);
            vec![Action::Jump(ahead), Action::Pass(60.0), flood, Action::Pass(wait), Action::Jump(-ahead), Action::Pass(60.0), flood]
        }
        1 => vec![Action::Store(Mood::Refuses, 30), flood, Action::Room(500), flood, Action::Pass(5.0), Action::Heal],
        _ => vec![flood, Action::Crash(seed.pick(&[3, 9, 30])), Action::Pass(1.0), Action::Restart, flood],
    }
}

fn action(seed: &mut Seed, luck: u64) -> Action {
    let met = |bit: u32| (luck >> bit) & 1 == 1;
    loop {
        return match seed.below(40) {
            0..=9 => Action::Event(seed.below(crate::events::KINDS) as usize, seed.below(5) as u32, seed.below(4) as u32),
            10..=12 => {
                let (count, accounts, networks) = (seed.pick(&[8, 30, 120, 400]), seed.pick(&[1, 3, 200]), seed.pick(&[1, 2, 100]));
                Action::Flood(seed.below(crate::events::KINDS) as usize, count, accounts, networks)
            }
            13..=20 => Action::Pass(seed.pick(&[0.1, 0.3, 1.0, 2.0, 5.0, 40.0, 120.0, 3600.0, 30_000.0, DAY, 3.0 * DAY])),
            21 if met(0) => Action::Pass(seed.pick(&[10.0, 30.0, 60.0]) * DAY),
            22 if met(1) => Action::Jump(seed.pick(&[
                -30.0,
                45.0,
                -7200.0,
                7200.0,
                -DAY,
                DAY,
                -3.0 * DAY,
                3.0 * DAY,
                -40.0 * DAY,
                40.0 * DAY,
                400.0 * DAY,
                11_000.0 * DAY,
            ])),
            22 if met(12) => Action::Drift(seed.pick(&[-500e-6, -50e-6, 0.0, 50e-6, 500e-6])),
            23 | 24 if met(2) => {
                let mood =
                    seed.pick(&[Mood::Refuses, Mood::Raises, Mood::Forgets, Mood::Keeps, Mood::LosesAnswer, Mood::IsSlow, Mood::Yields]);
                Action::Store(mood, seed.pick(&[1, 3, 20, 200]))
            }
            25 if met(3) => Action::Backup,
            26 if met(3) => Action::Older,
            27 | 28 if met(4) => {
                let operation = seed.pick(&[
                    Operation::Open,
                    Operation::Create,
                    Operation::Rename,
                    Operation::Remove,
                    Operation::Append,
                    Operation::WriteAt,
                    Operation::ReadAt,
                    Operation::SetLength,
                    Operation::Lock,
                ]);
                Action::Fail(operation, seed.pick(&[Errno::Io, Errno::NoSpace, Errno::ReadOnly]), seed.pick(&[1, 2, 10, 1000]))
            }
            29 if met(5) => Action::Room(seed.pick(&[0, 30, 500, 3000])),
            30 if met(4) || met(5) => Action::Heal,
            31 if met(6) => {
                let damage = seed.pick(&[Damage::Flip, Damage::Truncate, Damage::Remove, Damage::Replace]);
                Action::Damage(damage, seed.next())
            }
            32 if met(7) => Action::Crash(seed.pick(&[0, 1, 2, 5, 12, 40])),
            33 if met(8) => Action::Restart,
            34 if met(9) => Action::PowerCut(seed.next(), seed.pick(&[5.0, 600.0, 2.0 * DAY])),
            35 if met(10) => Action::Options(seed.below(crate::events::CONFIGURATIONS) as usize),
            36 if met(11) => Action::Prune(seed.once_in(2)),
            37 | 38 => {
                let between = seed.pick(&[Between::Nothing, Between::Events, Between::Prune]);
                Action::Read(seed.once_in(3), seed.once_in(2), between)
            }
            39 => Action::Follow,
            _ => continue,
        };
    }
}

impl Action {
    /// The name of the bad luck in it, if it is some.
    pub fn fault(&self) -> Option<String> {
        let name = format!("{self:?}");
        match self {
            Self::Event(..) | Self::Flood(..) | Self::Pass(_) | Self::Heal | Self::Backup | Self::Read(..) | Self::Follow => None,
            Self::Jump(by) => Some(format!("clock {}", if *by < 0.0 { "back" } else { "ahead" })),
            Self::Drift(_) => Some("clock drift".to_owned()),
            Self::Store(mood, _) => Some(format!("store {mood:?}")),
            Self::Fail(_, errno, _) => Some(format!("disk {errno:?}")),
            Self::Room(_) => Some("disk full".to_owned()),
            Self::Receiver(_, reply, _) => Some(format!("receiver {reply:?}")),
            Self::Damage(damage, _) => Some(format!("file {damage:?}")),
            _ => name.split('(').next().map(ToOwned::to_owned),
        }
    }
}
