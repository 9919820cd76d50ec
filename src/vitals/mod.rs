//! What each part of the daemon tells of itself while it works: plain atomics, cheap to write from
//! anywhere. How they are shown is others' work.

mod count;
mod pulse;
mod tally;
mod times;

pub use count::{Count, Level};
pub use pulse::Pulse;
pub use tally::Tally;
pub use times::{BOUNDS, Timed, Times};
