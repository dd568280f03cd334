//! The log in a browser: who may look, what an address asks for, the pages, and the answers for programs.
//!
//! | | |
//! |---|---|
//! | [`address`] | the part of an address behind the `?`: the flags of the command, as fields |
//! | [`gate`] | links that sign in once, and sessions |
//! | [`token`] | tokens of programs |
//! | [`view`] | one reading of the log, as a page shows it |
//! | [`feed`] | new entries, for each browser that watches |
//! | [`page`](mod@page) | the pages, as HTML that is escaped where it is made |
//! | [`api`] | the answers for programs, as JSON |
//! | [`openapi`] | what programs may ask, and what they are answered |
//!
//! *Invariant*: a secret is random, is shown once, and only its hash is kept. Nothing here does I/O.

pub mod address;
pub mod api;
pub mod feed;
pub mod gate;
pub mod openapi;
pub mod page;
mod secret;
pub mod token;
pub mod view;

/// How many browsers may watch a host's log at the same time.
pub const LIVE_VIEWS: usize = 20;

/// How many bytes may wait for a slow reader, before it is dropped (a live view) or waited for (a download).
pub const UNSENT: usize = 64 * 1024;

/// How many bytes of an answer are sent in one turn of the loop. Prosody's garbage collector works in proportion to what Lua gets, and a
/// piece is copied two or three times on its way.
pub const PIECE: usize = 16 * 1024;

/// After how many seconds without news a live view is sent a comment, which shows whether it is still there.
pub const COMMENT: f64 = 30.0;

/// How often live views are looked after, in seconds.
pub const LOOK: f64 = 1.0;

/// For how many seconds a reader may take nothing of a download.
pub const STALLED: f64 = 60.0;

/// How many readings for browsers and programs may run on a host at the same time.
pub const READINGS: usize = 4;

/// How many entries a page shows, and how many at most.
pub const PAGE: usize = 50;
/// How many entries a page shows at most.
pub const LARGEST_PAGE: usize = 200;

/// How many entries, the newest that fit, the numbers of a page count.
pub const COUNTED: usize = 5000;

/// How many entries a program gets in one answer, at most.
pub const LARGEST_ANSWER: usize = 1000;

/// The longest body of a form, in bytes.
pub const LARGEST_FORM: usize = 8192;

/// What every answer tells a browser: nothing may be loaded from elsewhere, run from the page, kept, or passed on.
pub const HEADERS: &[(&str, &str)] = &[
    (
        "content_security_policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    ("referrer_policy", "no-referrer"),
    ("x_content_type_options", "nosniff"),
    ("x_frame_options", "DENY"),
    ("cache_control", "no-store"),
    ("cross_origin_opener_policy", "same-origin"),
    ("cross_origin_resource_policy", "same-origin"),
    ("permissions_policy", "camera=(), geolocation=(), microphone=()"),
    ("x_robots_tag", "noindex, nofollow"),
];
