//! Runs the seeded simulator: `simulate [--seed S] [--hours H] [--restores] [--verbose]`.
//!
//! With `--restores` the supervisor's state is written and read back at random moments.
//!
//! Prints the seed, the trace's hash, the faults injected by kind, what the rules did, and the
//! simulated time per second. Exits with 1 when a checker found something, with the command that
//! replays it.

use std::process::ExitCode;
use std::time::Instant;

#[path = "../tests/simulator/mod.rs"]
mod simulator;

use simulator::Simulation;

fn main() -> ExitCode {
    let (mut seed, mut hours, mut restores, mut verbose) = (1, 100, false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = |into: &mut u64| match args.next().map(|value| value.parse()) {
            Some(Ok(value)) => {
                *into = value;
                true
            }
            _ => false,
        };
        let understood = match arg.as_str() {
            "--seed" => number(&mut seed),
            "--hours" => number(&mut hours),
            "--restores" => {
                restores = true;
                true
            }
            "--verbose" => {
                verbose = true;
                true
            }
            _ => false,
        };
        if !understood {
            eprintln!("usage: simulate [--seed S] [--hours H] [--restores] [--verbose]");
            return ExitCode::from(2);
        }
    }
    let began = Instant::now();
    let outcome = Simulation::run(seed, hours, restores, verbose);
    let seconds = began.elapsed().as_secs_f64();

    println!("seed            {}", outcome.seed);
    println!("trace hash      {:016x}", outcome.trace_hash);
    println!("simulated       {} h", outcome.hours);
    println!("speed           {:.0} h/s", outcome.hours as f64 / seconds);
    println!("events          {}", outcome.events);
    println!("forks           {}", outcome.forks);
    println!("quiet hours     {}", outcome.quiet_hours);
    let injected: u64 = outcome.faults.values().sum();
    println!("faults injected {injected}");
    for (name, count) in &outcome.faults {
        println!("  {count:>8}  {name}");
    }
    println!("what the rules did");
    for (name, count) in &outcome.seen {
        println!("  {count:>8}  {name}");
    }
    match &outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            eprintln!("seed {seed}: {violation}");
            eprintln!("replay: {}", outcome.replay());
            ExitCode::FAILURE
        }
    }
}
