//! Building blocks of screens.

pub mod bar;
pub mod list;
pub mod number;
pub mod table;
pub mod wrap;
