//! Merges what is wanted from a slave into as few reads as the protocol allows.

use super::frame::Table;
use heapless::Vec;

/// Most reads of one device after merging. Reasoning: a module with four channels far apart takes four;
/// twice that is room.
pub const READS_MAX: usize = 8;

/// Items of one table: registers, coils or inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Read {
    /// Which table.
    pub table: Table,
    /// First item, from 0.
    pub start: u16,
    /// Items, 1..=[`Table::count_max`].
    pub count: u16,
}

/// Why reads cannot be planned. A configuration error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The want at this position asks for nothing, for more than one read can carry, or beyond item 65 535.
    Count(usize),
    /// More than [`READS_MAX`] reads remain after merging.
    TooMany,
}

/// Where a want lies among the merged reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position of the read in the plan.
    pub read: u8,
    /// Items to skip in its data.
    pub offset: u16,
}

/// The reads of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    reads: Vec<Read, READS_MAX>,
}

impl Plan {
    /// Merges `wants`. Two of one table are read together when at most `gap_max` unwanted items lie between
    /// them and both fit into one read.
    ///
    /// Reasoning for a gap: another request costs about 8 + 7 characters and two silences, as much as ten
    /// registers; but some devices refuse to read undefined registers, so 0 is the careful choice.
    ///
    /// # Errors
    /// What cannot be planned; the configuration is wrong.
    pub fn new(wants: &[Read], gap_max: u16) -> Result<Self, PlanError> {
        if let Some(at) = wants.iter().position(|want| !want.is_legal()) {
            return Err(PlanError::Count(at));
        }
        let mut reads: Vec<Read, READS_MAX> = Vec::new();
        let mut previous: Option<(Read, usize)> = None;
        // Visits the wants in order of table and start without a sorted copy; few and only at start-up.
        while let Some((at, want)) = wants
            .iter()
            .enumerate()
            .filter(|(at, want)| previous.is_none_or(|last| (**want, *at) > last))
            .min_by_key(|(at, want)| (**want, *at))
        {
            previous = Some((*want, at));
            match reads.last_mut().and_then(|last| last.joined(want, gap_max)) {
                Some(joined) => {
                    if let Some(last) = reads.last_mut() {
                        *last = joined;
                    }
                }
                None => reads.push(*want).map_err(|_| PlanError::TooMany)?,
            }
        }
        Ok(Self { reads })
    }

    /// The merged reads, in order of table and start.
    #[must_use]
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// Where `want` is found. `None` when it was not planned.
    #[must_use]
    pub fn place(&self, want: &Read) -> Option<Place> {
        let read = self.reads.iter().position(|read| read.covers(want))?;
        Some(Place {
            read: read as u8,
            offset: want.start - self.reads[read].start,
        })
    }
}

impl Read {
    /// The item after the last.
    const fn end(&self) -> u32 {
        self.start as u32 + self.count as u32
    }

    /// Whether one request may ask for it.
    #[must_use]
    pub const fn is_legal(&self) -> bool {
        self.count != 0 && self.count <= self.table.count_max() && self.end() <= 0x1_0000
    }

    const fn covers(&self, other: &Self) -> bool {
        self.table as u8 == other.table as u8
            && self.start <= other.start
            && self.end() >= other.end()
    }

    /// One read for both, `next` not before `self`.
    fn joined(&self, next: &Self, gap_max: u16) -> Option<Self> {
        let near = u32::from(next.start) <= self.end() + u32::from(gap_max);
        let count = self.end().max(next.end()) - u32::from(self.start);
        let joined = Self {
            table: self.table,
            start: self.start,
            count: u16::try_from(count).ok()?,
        };
        (self.table == next.table && near && joined.is_legal()).then_some(joined)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn holding(start: u16, count: u16) -> Read {
        Read {
            table: Table::Holding,
            start,
            count,
        }
    }

    fn spans(wants: &[Read], gap: u16) -> std::vec::Vec<(u16, u16)> {
        let plan = Plan::new(wants, gap).unwrap();
        plan.reads().iter().map(|r| (r.start, r.count)).collect()
    }

    #[test]
    fn neighbours_and_overlaps_are_one_read() {
        assert_eq!(spans(&[holding(2, 2), holding(0, 2)], 0), [(0, 4)]);
        assert_eq!(spans(&[holding(0, 4), holding(1, 2)], 0), [(0, 4)]);
    }

    #[test]
    fn the_gap_decides() {
        assert_eq!(spans(&[holding(0, 2), holding(5, 1)], 2), [(0, 2), (5, 1)]);
        assert_eq!(spans(&[holding(0, 2), holding(5, 1)], 3), [(0, 6)]);
    }

    #[test]
    fn a_read_never_exceeds_125_registers() {
        assert_eq!(
            spans(&[holding(0, 125), holding(125, 1)], 9),
            [(0, 125), (125, 1)]
        );
        assert_eq!(spans(&[holding(0, 100), holding(100, 25)], 9), [(0, 125)]);
    }

    #[test]
    fn tables_never_mix() {
        let input = Read {
            table: Table::Input,
            ..holding(2, 2)
        };
        assert_eq!(
            Plan::new(&[holding(0, 2), input], 9).unwrap().reads().len(),
            2
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            Plan::new(&[holding(0, 1), holding(0, 0)], 0),
            Err(PlanError::Count(1))
        );
        assert_eq!(Plan::new(&[holding(0, 126)], 0), Err(PlanError::Count(0)));
        assert_eq!(
            Plan::new(&[holding(65_535, 2)], 0),
            Err(PlanError::Count(0))
        );
        let far: std::vec::Vec<_> = (0..9).map(|at| holding(at * 500, 1)).collect();
        assert_eq!(Plan::new(&far, 0), Err(PlanError::TooMany));
    }

    proptest! {
        #[test]
        fn every_want_has_its_place(
            wants in prop::collection::vec((0..400_u16, 1..20_u16), 1..20),
            gap in 0..30_u16,
        ) {
            let wants: std::vec::Vec<_> = wants.iter().map(|(s, c)| holding(*s, *c)).collect();
            if let Ok(plan) = Plan::new(&wants, gap) {
                for want in &wants {
                    let place = plan.place(want).unwrap();
                    let read = plan.reads()[usize::from(place.read)];
                    prop_assert_eq!(read.start + place.offset, want.start);
                    prop_assert!(place.offset + want.count <= read.count);
                }
                prop_assert!(plan.reads().iter().all(Read::is_legal));
            }
        }
    }
}
