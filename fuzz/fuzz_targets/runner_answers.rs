#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code, reason = "one of five")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::runner_answers(bytes));
