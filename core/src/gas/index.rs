//! Positions in the plan, as types that do not mix. Names of things live in the shell.

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub struct $name(pub u8);

        impl $name {
            /// As an array index.
            #[inline]
            #[must_use]
            pub const fn at(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// A cell by its position in [`Plan::cells`](super::Plan::cells).
    CellIndex
);
index!(
    /// A zone by its position in [`Plan::zones`](super::Plan::zones).
    ZoneIndex
);
index!(
    /// A set point by its position in [`Plan::set_points`](super::Plan::set_points), over all zones.
    SetPointIndex
);
index!(
    /// An output by its position in [`Plan::outputs`](super::Plan::outputs).
    OutputIndex
);
index!(
    /// A bus by its position; buses have no description beyond their number.
    BusIndex
);
index!(
    /// An output board by its position in [`Plan::boards`](super::Plan::boards).
    BoardIndex
);

/// A set of cells, one bit each; hence at most 64 cells a station.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct CellSet(pub u64);

impl CellSet {
    /// No cell.
    pub const EMPTY: Self = Self(0);

    /// The set of the cells given.
    #[inline]
    #[must_use]
    pub fn of(cells: impl IntoIterator<Item = CellIndex>) -> Self {
        let mut set = Self::EMPTY;
        for cell in cells {
            set.insert(cell);
        }
        set
    }

    /// Adds `cell`. A position of 64 or more is ignored; [`Plan::check`](super::Plan::check) reports it.
    #[inline]
    pub fn insert(&mut self, cell: CellIndex) {
        self.0 |= Self::bit(cell);
    }

    /// Takes `cell` out.
    #[inline]
    pub fn remove(&mut self, cell: CellIndex) {
        self.0 &= !Self::bit(cell);
    }

    /// Adds or takes out.
    #[inline]
    pub fn set(&mut self, cell: CellIndex, member: bool) {
        if member {
            self.insert(cell)
        } else {
            self.remove(cell)
        }
    }

    /// Whether `cell` is in it.
    #[inline]
    #[must_use]
    pub const fn contains(self, cell: CellIndex) -> bool {
        self.0 & Self::bit(cell) != 0
    }

    /// How many cells.
    #[inline]
    #[must_use]
    pub const fn len(self) -> u8 {
        self.0.count_ones() as u8
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In both.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// In this one and not in the other.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The cells in rising order.
    pub fn iter(self) -> impl Iterator<Item = CellIndex> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let at = rest.trailing_zeros() as u8;
            rest &= rest - 1;
            Some(CellIndex(at))
        })
    }

    #[inline]
    const fn bit(cell: CellIndex) -> u64 {
        if cell.0 < 64 { 1 << cell.0 } else { 0 }
    }
}
