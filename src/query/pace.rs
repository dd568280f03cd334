//! How large the pages of a query are.

/// The smallest first page, the smallest page that a slow store gets, and the largest.
const FIRST: usize = 50;
const SMALLEST: usize = 10;
const LARGEST: usize = 3200;

/// How large the next page is. Pages double, as the embedded driver of Prosody 0.12 loads a partition whole for every page;
/// where a page may only take so long, they shrink as long as that makes them faster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    size: usize,
    slice: Option<f64>,
    last: Option<(usize, f64)>,
    /// Whether the store takes as long for a small page as for a large one.
    whole: bool,
}

impl Pace {
    pub(super) fn new(limit: Option<usize>, slice: Option<f64>) -> Self {
        let most = if slice.is_some() { FIRST } else { LARGEST };
        Self { size: limit.map_or(most, |limit| limit.clamp(FIRST, most)), slice, last: None, whole: false }
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Takes note of how long a page took.
    pub(super) fn took(&mut self, rows: usize, seconds: f64) {
        let larger = self.size.saturating_mul(2).min(LARGEST);
        let Some(slice) = self.slice else {
            self.size = larger;
            return;
        };
        if let Some((last_rows, last_seconds)) = self.last
            && rows < last_rows
            && last_seconds > slice
        {
            self.whole = seconds > last_seconds * 0.8;
        }
        self.last = Some((rows, seconds));
        if self.whole || seconds < slice / 2.5 {
            self.size = larger;
        } else if seconds > slice {
            self.size = (self.size / 2).max(SMALLEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of pages of a store that takes `fixed` for a page and `each` for a row.
    fn sizes(slice: Option<f64>, fixed: f64, each: f64) -> Vec<usize> {
        let mut pace = Pace::new(None, slice);
        let mut sizes = Vec::new();
        for _ in 0..12 {
            let size = pace.size();
            sizes.push(size);
            #[allow(clippy::cast_precision_loss)]
            pace.took(size, fixed + each * size as f64);
        }
        sizes
    }

    #[test]
    fn pages_grow_until_one_takes_too_long() {
        assert_eq!(sizes(Some(0.01), 0.0, 0.000_01)[..4], [50, 100, 200, 400]);
        assert_eq!(sizes(Some(0.01), 0.0, 0.000_01).last(), Some(&400), "4 ms");
        assert_eq!(sizes(Some(0.01), 0.0, 0.001)[..4], [50, 25, 12, 10]);
    }

    #[test]
    fn a_store_that_loads_everything_for_a_page_is_asked_for_few() {
        assert_eq!(sizes(Some(0.01), 0.1, 0.000_001)[..4], [50, 25, 50, 100]);
        assert_eq!(sizes(Some(0.01), 0.1, 0.000_001).last(), Some(&LARGEST));
    }

    #[test]
    fn without_haste_pages_are_large() {
        assert_eq!(sizes(None, 1.0, 1.0)[..2], [LARGEST, LARGEST]);
        assert_eq!(Pace::new(Some(60), None).size(), 60);
        assert_eq!(Pace::new(Some(1), None).size(), FIRST);
    }
}
