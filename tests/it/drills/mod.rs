//! Faults on purpose: whatever breaks, what was said stays true, and work goes on without a
//! restart.

mod disk;
mod faulty_store;
mod house;
mod store_faults;
