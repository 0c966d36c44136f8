//! Numbers of buttons and sets of them.

use core::fmt;
use core::num::NonZeroU8;

use crate::limits::PANEL_BUTTONS_MAX;

/// Button number as printed on the panel, 1..=100. On the wire: three decimal digits or one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ButtonId(NonZeroU8);

impl ButtonId {
    /// The button `number`; `None` outside 1..=100.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number as usize > PANEL_BUTTONS_MAX {
            return None;
        }
        match NonZeroU8::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number as printed, 1..=100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Position in a table of all buttons, 0..=99.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl fmt::Display for ButtonId {
    /// Three digits, as on the wire.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:03}", self.get())
    }
}

/// How many buttons a panel has, 1..=100. Button n, LED n and medium n belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PanelSize(NonZeroU8);

impl PanelSize {
    /// The largest panel.
    pub const MAX: Self = match Self::new(PANEL_BUTTONS_MAX as u8) {
        Some(size) => size,
        None => panic!("the limit is not a panel size"),
    };

    /// A panel of `buttons`; `None` outside 1..=100.
    #[must_use]
    pub const fn new(buttons: u8) -> Option<Self> {
        match ButtonId::new(buttons) {
            Some(ButtonId(number)) => Some(Self(number)),
            None => None,
        }
    }

    /// The count, 1..=100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Chips a chain needs, eight positions each, 1..=13.
    #[must_use]
    pub const fn chips(self) -> usize {
        (self.get() as usize).div_ceil(8)
    }

    /// Whether the panel has this button.
    #[must_use]
    pub const fn contains(self, id: ButtonId) -> bool {
        id.get() <= self.get()
    }

    /// The button `number` if this panel has it.
    #[must_use]
    pub fn id(self, number: u8) -> Option<ButtonId> {
        ButtonId::new(number).filter(|id| self.contains(*id))
    }

    /// All buttons of the panel.
    #[must_use]
    pub const fn all(self) -> ButtonSet {
        ButtonSet(u128::MAX >> (128 - self.get() as u32))
    }
}

/// A set of buttons or LEDs. Bit `id - 1`; no bit above 99 is ever set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ButtonSet(u128);

impl ButtonSet {
    /// No button.
    pub const EMPTY: Self = Self(0);

    /// The set of one button.
    #[must_use]
    pub const fn one(id: ButtonId) -> Self {
        Self(1 << id.index())
    }

    /// Whether `id` is in the set.
    #[must_use]
    pub const fn contains(self, id: ButtonId) -> bool {
        self.0 & (1 << id.index()) != 0
    }

    /// Adds `id`.
    pub const fn insert(&mut self, id: ButtonId) {
        self.0 |= 1 << id.index();
    }

    /// Removes `id`.
    pub const fn remove(&mut self, id: ButtonId) {
        self.0 &= !(1 << id.index());
    }

    /// Whether no button is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many buttons are in the set, 0..=100.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// In either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// In this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// In exactly one of the sets.
    #[must_use]
    pub const fn symmetric_difference(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// The buttons in ascending order.
    #[must_use]
    pub const fn iter(self) -> Ids {
        Ids(self.0)
    }
}

impl fmt::Debug for ButtonSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set()
            .entries(self.iter().map(ButtonId::get))
            .finish()
    }
}

impl IntoIterator for ButtonSet {
    type Item = ButtonId;
    type IntoIter = Ids;
    fn into_iter(self) -> Ids {
        self.iter()
    }
}

impl FromIterator<ButtonId> for ButtonSet {
    fn from_iter<T: IntoIterator<Item = ButtonId>>(ids: T) -> Self {
        let mut set = Self::EMPTY;
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

/// Buttons of a set in ascending order.
#[derive(Clone, Debug)]
pub struct Ids(u128);

impl Iterator for Ids {
    type Item = ButtonId;
    fn next(&mut self) -> Option<ButtonId> {
        if self.0 == 0 {
            return None;
        }
        let number = self.0.trailing_zeros() as u8 + 1;
        self.0 &= self.0 - 1;
        ButtonId::new(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn ids_are_one_to_a_hundred() {
        assert_eq!(ButtonId::new(0), None);
        assert_eq!(ButtonId::new(101), None);
        assert_eq!(ButtonId::new(100).map(ButtonId::index), Some(99));
        assert_eq!(PanelSize::new(10).and_then(|size| size.id(11)), None);
    }

    #[test]
    fn a_set_lists_its_buttons_in_order() {
        let set: ButtonSet = [100, 3, 42].into_iter().filter_map(ButtonId::new).collect();
        assert_eq!(
            set.iter().map(ButtonId::get).collect::<Vec<_>>(),
            [3, 42, 100]
        );
        assert_eq!(PanelSize::MAX.all().len(), 100);
        assert_eq!(PanelSize::MAX.chips(), 13);
    }
}
